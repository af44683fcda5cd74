//! Rows of tensors in another order: how layouts pack queries, keys and values, or part them.

use std::ops::Range;

use burn::tensor::{Shape, TensorData};
use burn_pack::Tensor as PackTensor;
use burn_store::bridge;

/// A tensor of some rows of `parts`, one below the other: each pick is the number of a part and a
/// range of its rows. Nothing is read before the tensor is.
pub(super) fn gather_rows(
    name: String,
    parts: Vec<PackTensor>,
    picks: Vec<(usize, Range<usize>)>,
) -> Result<PackTensor, String> {
    let width = |part: &PackTensor| part.shape.iter().skip(1).copied().collect::<Vec<_>>();
    let has = |part: &PackTensor, row: usize| part.shape.first().is_some_and(|&rows| row <= rows);
    let like = |first: &PackTensor| {
        let alike = |part: &PackTensor| part.dtype == first.dtype && width(part) == width(first);
        parts.iter().all(|part| has(part, 0) && alike(part))
    };
    let inside = |(part, rows): &(usize, Range<usize>)| {
        parts.get(*part).is_some_and(|part| has(part, rows.end))
    };
    let Some(first) = parts.first().filter(|first| like(first) && picks.iter().all(inside)) else {
        let found = parts
            .iter()
            .map(|part| format!("{} {:?} {:?}", part.name, part.dtype, part.shape.to_vec()));
        let found = Vec::from_iter(found).join(", ");
        return Err(format!(
            "tensor {name}: expected parts of one dtype and width, with the rows of the heads in \
             config.json, found {found}"
        ));
    };
    let (dtype, mut shape) = (first.dtype, first.shape.to_vec());
    let row_bytes = dtype.size() * shape[1..].iter().product::<usize>();
    shape[0] = picks.iter().map(|(_, range)| range.len()).sum();
    let shape = Shape::from(shape);
    let declared = shape.clone();
    Ok(bridge::deferred(name, dtype, shape, None, move || {
        let read = parts.iter().map(PackTensor::to_bytes).collect::<Result<Vec<_>, _>>()?;
        let mut bytes = Vec::with_capacity(declared.num_elements() * dtype.size());
        for (part, rows) in &picks {
            bytes.extend_from_slice(&read[*part][rows.start * row_bytes..rows.end * row_bytes]);
        }
        Ok(TensorData::from_bytes_vec(bytes, declared.clone(), dtype))
    }))
}

/// The same tensor under another name.
pub(super) fn renamed(tensor: &PackTensor, name: String) -> PackTensor {
    let mut tensor = tensor.clone();
    tensor.name = name;
    tensor
}

/// Tensors of some rows of one: their names, and their rows. Together they have all of its rows.
pub(super) fn split_rows(
    tensor: &PackTensor,
    parts: [(String, Vec<Range<usize>>); 3],
) -> Result<[PackTensor; 3], String> {
    let wanted: usize = parts.iter().flat_map(|(_, rows)| rows).map(Range::len).sum();
    if tensor.shape.first() != Some(&wanted) {
        let (name, found) = (&tensor.name, tensor.shape.to_vec());
        return Err(format!("tensor {name}: expected {wanted} rows, found shape {found:?}"));
    }
    let [q, k, v] = parts.map(|(name, rows)| {
        gather_rows(name, vec![tensor.clone()], rows.into_iter().map(|rows| (0, rows)).collect())
    });
    Ok([q?, k?, v?])
}

//! The trained weights as arrays by the names of the checkpoint.

use std::collections::BTreeMap;

use burn::tensor::{Shape, Tensor, TensorData};
use mllmseg_model::Mllmseg;
use mllmseg_model::checkpoint::named_weights::{for_each_weight, update_weights};
use mllmseg_model::checkpoint::names::NameTable;

/// Arrays by the names of the checkpoint.
pub(super) type Arrays = BTreeMap<String, TensorData>;

/// Every weight that records gradients, in the layout and dtype of the model; waits for the device.
///
/// # Errors
/// The path of a weight that the table has no name for.
pub(super) fn trained_weights(model: &Mllmseg, table: &NameTable) -> Result<Arrays, String> {
    let names = table.names();
    let (mut arrays, mut nameless) = (Arrays::new(), None);
    for_each_weight(model, |path, weight| match names.get(path) {
        _ if !weight.is_trained() => {}
        None => nameless = Some(path.to_string()),
        Some(name) => {
            let array = with_shape(weight.values().to_data(), weight.shape());
            arrays.insert(name.to_string(), array);
        }
    });
    nameless.map_or(Ok(arrays), |path| Err(format!("no checkpoint name for {path}")))
}

/// The model with its trained weights replaced.
///
/// # Errors
/// What is missing, left over or of another shape.
pub(super) fn with_weights(
    model: Mllmseg,
    mut arrays: Arrays,
    table: &NameTable,
) -> Result<Mllmseg, String> {
    let names = table.names();
    let mut problem = None;
    let model = update_weights(
        model,
        |path, weight| {
            if !weight.is_trained() {
                return None;
            }
            let (name, shape) = (names.get(path).copied().unwrap_or(path), weight.shape());
            let array = arrays.remove(name);
            match &array {
                None => problem = Some(format!("{name} is trained, but not in the file")),
                Some(array) if *array.shape() != shape => {
                    problem =
                        Some(format!("{name} should be {shape:?}, found {:?}", array.shape()));
                }
                Some(_) => {}
            }
            array.filter(|_| problem.is_none())
        },
        |_, array, old| {
            let flat = with_shape(array, old.shape());
            Tensor::from_data(flat, (&old.device(), old.dtype()))
        },
    );
    let left_over = || Some(format!("{} is in the file, but not trained", arrays.keys().next()?));
    problem.or_else(left_over).map_or(Ok(model), Err)
}

fn with_shape(data: TensorData, shape: Shape) -> TensorData {
    let (bytes, _, dtype) = data.into_parts();
    TensorData::from_bytes(bytes, shape, dtype)
}

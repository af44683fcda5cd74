//! Many tensors in few transfers.
//!
//! A transfer costs at least one round trip, which over a network takes as long as a megabyte of data.
//! So small tensors are joined in buckets, and large ones are cut: no message has more than a few
//! megabytes (a message of Burn's remote devices must stay below one gigabyte).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::{Device, Tensor};

/// Values in one transfer, 16 MB in f32.
const BUCKET: usize = 4 << 20;

/// Bytes sent between the main device and the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// To the replicas.
    pub sent: u64,
    /// Back from them.
    pub received: u64,
}

/// Counts the bytes of all workers.
#[derive(Debug, Clone, Default)]
pub(super) struct TrafficCounter {
    pub(super) sent: Arc<AtomicU64>,
    pub(super) received: Arc<AtomicU64>,
}

impl TrafficCounter {
    pub(super) fn read(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic { sent: read(&self.sent), received: read(&self.received) }
    }
}

/// Moves flat tensors from one device to another, in order. Tensors that are already there are
/// neither copied nor counted.
pub(super) fn transfer(
    tensors: Vec<Tensor<1>>,
    device: &Device,
    bytes: &AtomicU64,
) -> Vec<Tensor<1>> {
    if tensors.iter().all(|tensor| tensor.device() == *device) {
        return tensors;
    }
    let mut arrived = Vec::with_capacity(tensors.len());
    let (mut bucket, mut length) = (Vec::new(), 0);
    for tensor in tensors {
        let [values] = tensor.dims();
        bytes.fetch_add((values * tensor.dtype().size()) as u64, Ordering::Relaxed);
        let last: Option<&Tensor<1>> = bucket.last();
        let joins = last.is_none_or(|last| last.dtype() == tensor.dtype());
        if !joins || length + values > BUCKET {
            arrived.extend(send_bucket(std::mem::take(&mut bucket), device));
            length = 0;
        }
        length += values;
        bucket.push(tensor);
    }
    arrived.extend(send_bucket(bucket, device));
    arrived
}

/// Sends tensors of one dtype as one, or a single one in pieces.
fn send_bucket(bucket: Vec<Tensor<1>>, device: &Device) -> Vec<Tensor<1>> {
    let lengths: Vec<usize> = bucket.iter().map(|tensor| tensor.dims()[0]).collect();
    match lengths.as_slice() {
        [] => Vec::new(),
        [length] if *length <= BUCKET => {
            bucket.into_iter().map(|tensor| tensor.to_device(device)).collect()
        }
        [_] => {
            let whole = Tensor::cat(bucket, 0);
            let pieces = whole.split(BUCKET, 0).into_iter().map(|piece| piece.to_device(device));
            vec![Tensor::cat(pieces.collect(), 0)]
        }
        _ => Tensor::cat(bucket, 0).to_device(device).split_with_sizes(lengths, 0),
    }
}

//! Decoded values, side by side: a shared reference costs four bytes, and dropping a deep nest
//! recurses nowhere.

use std::borrow::Cow;

use crate::kinds::{Dtype, Global};

/// The place of a node in its arena.
pub(crate) type NodeId = u32;

/// One value.
#[derive(Debug)]
pub(crate) enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Text; borrowed from the input where nothing had to be decoded.
    Text(Cow<'a, str>),
    /// Bytes, which are read out as text, or are the data of a NumPy value.
    Bytes(Cow<'a, [u8]>),
    /// A function or class that builds plain data.
    Global(Global),
    /// The kind of a NumPy value.
    Dtype(Dtype),
    /// A list or a tuple: an index into the containers.
    List(u32),
    /// A dict: an index into the containers, where keys and values alternate.
    Dict(u32),
}

/// The values of a pickle.
#[derive(Debug, Default)]
pub(crate) struct Arena<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    pub(crate) containers: Vec<Vec<NodeId>>,
    pub(crate) root: NodeId,
}

impl<'a> Arena<'a> {
    pub(crate) fn node(&self, id: NodeId) -> &Node<'a> {
        // Every id was made by pushing the node that it names.
        &self.nodes[id as usize]
    }

    /// The items of a container that a node names.
    pub(crate) fn items(&self, container: u32) -> &[NodeId] {
        &self.containers[container as usize]
    }
}

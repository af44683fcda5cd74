//! The stack machine that a pickle is a program for, without the opcodes that reach outside it.
//!
//! CPython's `pickletools.py` describes every opcode.

use std::collections::HashMap;

use crate::arena::{Arena, Node, NodeId};
use crate::error::{Error, Limits};
use crate::kinds::Global;
use crate::text;

/// Stands on the stack where a container begins: nothing below it may be taken.
const MARK: NodeId = NodeId::MAX;

#[derive(Default)]
pub(crate) struct Machine<'a> {
    input: &'a [u8],
    /// Bytes read so far.
    at: usize,
    opcode: u8,
    opcode_at: usize,
    pub(crate) arena: Arena<'a>,
    stack: Vec<NodeId>,
    memo: HashMap<u64, NodeId>,
    pushed: u32,
    limits: Limits,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(input: &'a [u8], limits: &Limits) -> Self {
        Self { input, limits: *limits, ..Self::default() }
    }

    pub(crate) fn run(mut self) -> Result<Arena<'a>, Error> {
        loop {
            self.opcode_at = self.at;
            self.opcode = self.take(1)?[0];
            if self.opcode == b'.' {
                self.arena.root = self.pop()?;
                return Ok(self.arena);
            }
            if let Some(node) = self.new_node()? {
                self.push_node(node)?;
            } else if !self.fill_container()? && !self.memo_or_stack()? && !self.named()? {
                return Err(self.refusal());
            }
        }
    }

    /// The opcodes that push a new value.
    fn new_node(&mut self) -> Result<Option<Node<'a>>, Error> {
        Ok(Some(match self.opcode {
            b'N' => Node::None,
            0x88 => Node::Bool(true),
            0x89 => Node::Bool(false),
            b'K' => Node::Int(self.unsigned(1)? as i64),
            b'M' => Node::Int(self.unsigned(2)? as i64),
            b'J' => Node::Int(i64::from(self.unsigned(4)? as u32 as i32)),
            b'I' => match self.line()? {
                b"00" => Node::Bool(false),
                b"01" => Node::Bool(true),
                digits => Node::Int(self.parse(digits)?),
            },
            b'L' => {
                let line = self.line()?;
                Node::Int(self.parse(line.strip_suffix(b"L").unwrap_or(line))?)
            }
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'F' => Node::Float(self.line().and_then(|line| self.parse(line))?),
            b'G' => Node::Float(f64::from_bits(self.unsigned(8)?.swap_bytes())),
            b'S' => {
                let text = text::from_literal(self.line()?);
                Node::Text(text.map_err(|detail| self.malformed(detail))?)
            }
            b'V' => {
                let text = text::from_raw_unicode_escape(self.line()?);
                Node::Text(text.map_err(|detail| self.malformed(detail))?)
            }
            b'U' | b'C' => Node::Bytes(self.counted(1)?.into()),
            b'T' | b'B' => Node::Bytes(self.counted(4)?.into()),
            0x8e | 0x96 => Node::Bytes(self.counted(8)?.into()),
            0x8c => Node::Text(text::from_bytes(self.counted(1)?)),
            b'X' => Node::Text(text::from_bytes(self.counted(4)?)),
            0x8d => Node::Text(text::from_bytes(self.counted(8)?)),
            b']' | b')' => Node::List(self.container(Vec::new())),
            b'}' => Node::Dict(self.container(Vec::new())),
            b'l' | b't' => {
                let items = self.pop_to_mark()?;
                Node::List(self.container(items))
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.check_pairs(&items)?;
                Node::Dict(self.container(items))
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0..self.opcode - 0x84 {
                    items.insert(0, self.pop()?);
                }
                Node::List(self.container(items))
            }
            _ => return Ok(None),
        }))
    }

    /// The opcodes that add to the container on top; false if this is none of them.
    fn fill_container(&mut self) -> Result<bool, Error> {
        let items = match self.opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            b'e' | b'u' => self.pop_to_mark()?,
            _ => return Ok(false),
        };
        let container = match (self.opcode, self.arena.node(self.top()?)) {
            (b'a' | b'e', Node::List(container)) => *container,
            (b's' | b'u', Node::Dict(container)) => {
                let container = *container;
                self.check_pairs(&items)?;
                container
            }
            _ => return Err(self.malformed("a container of its kind expected below its items")),
        };
        self.arena.containers[container as usize].extend(items);
        Ok(true)
    }

    /// The opcodes that move references about; false if this is none of them.
    fn memo_or_stack(&mut self) -> Result<bool, Error> {
        match self.opcode {
            b'(' => self.push(MARK)?,
            b'0' if self.stack.last() == Some(&MARK) => _ = self.stack.pop(),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_to_mark()?,
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            b'p' | b'q' | b'r' => {
                let (index, top) = (self.memo_index()?, self.top()?);
                self.memo.insert(index, top);
            }
            0x94 => {
                let (index, top) = (self.memo.len() as u64, self.top()?);
                self.memo.insert(index, top);
            }
            b'g' | b'h' | b'j' => {
                let index = self.memo_index()?;
                match self.memo.get(&index) {
                    Some(&node) => self.push(node)?,
                    None => return Err(self.malformed(format!("memo {index} was never set"))),
                }
            }
            0x80 => {
                let protocol = self.unsigned(1)?;
                if protocol > 5 {
                    return Err(self.malformed(format!("protocol 0 to 5 expected, not {protocol}")));
                }
            }
            // FRAME only announces how much follows.
            0x95 => {
                let length = self.unsigned(8)?;
                self.require(length)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The opcodes that name a class or function, call it, or set an object's state: those of plain data. False if
    /// this is none of them.
    fn named(&mut self) -> Result<bool, Error> {
        match self.opcode {
            b'c' | 0x93 => {
                let [module, name] = match self.opcode {
                    b'c' => [self.line()?, self.line()?].map(printable),
                    _ => {
                        let name = self.name_part();
                        [self.name_part(), name]
                    }
                };
                let global = Global::named(&module, &name);
                let global = global.ok_or_else(|| self.forbidden(format!("`{module}.{name}`")))?;
                self.push_node(Node::Global(global))?;
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let Node::Global(function) = *self.arena.node(function) else {
                    return Err(self.forbidden("a call".to_owned()));
                };
                let result = self.call(function, arguments)?;
                self.push(result)?;
            }
            b'b' => {
                let (state, object) = (self.pop()?, self.top()?);
                self.set_state(object, state)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn name_part(&mut self) -> String {
        match self.pop().map(|id| self.arena.node(id)) {
            Ok(Node::Text(text)) => printable(text.as_bytes()),
            Ok(Node::Bytes(bytes)) => printable(bytes),
            _ => "?".to_owned(),
        }
    }

    pub(crate) fn forbidden(&self, name: String) -> Error {
        Error::Forbidden { offset: self.opcode_at, opcode: self.opcode, name }
    }

    /// The error for an opcode that is none of the above, with what it asks for.
    fn refusal(&mut self) -> Error {
        let name = match self.opcode {
            b'i' => {
                let mut part = || self.line().map(printable).unwrap_or_default();
                format!("`{}.{}`", part(), part())
            }
            b'o' | 0x81 | 0x92 => "an object of a class".to_owned(),
            b'P' | b'Q' | 0x97 | 0x98 => "an object from outside the file".to_owned(),
            0x82..=0x84 => "a registered extension".to_owned(),
            0x8f..=0x91 => "a set".to_owned(),
            byte => return Error::UnknownOpcode { offset: self.opcode_at, byte },
        };
        self.forbidden(name)
    }

    /// Checks that `length` more bytes are there, before anything is made of that length.
    fn require(&self, length: u64) -> Result<usize, Error> {
        let (offset, left) = (self.at, self.input.len() - self.at);
        let within = usize::try_from(length).ok().filter(|&length| length <= left);
        within.ok_or(Error::Truncated { offset, needed: length, left })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        let length = self.require(length)?;
        let bytes = &self.input[self.at..self.at + length];
        self.at += length;
        Ok(bytes)
    }

    /// The bytes up to the next line feed, which is passed over.
    fn line(&mut self) -> Result<&'a [u8], Error> {
        let left = self.input.len() - self.at;
        let end = self.input[self.at..].iter().position(|&byte| byte == b'\n').unwrap_or(left);
        let line = self.take(end as u64 + 1)?;
        Ok(&line[..end])
    }

    /// A number of `size` bytes, at most 8, the lowest first.
    fn unsigned(&mut self, size: u64) -> Result<u64, Error> {
        let bytes = self.take(size)?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A two's complement number, the lowest byte first, after its length in `size` bytes.
    fn long(&mut self, size: u64) -> Result<Node<'a>, Error> {
        let length = self.unsigned(size)?;
        let bytes = self.take(length)?;
        if length > 8 {
            let detail = format!("an integer of at most 8 bytes expected, found {length}");
            return Err(self.malformed(detail));
        }
        let negative = bytes.last().is_some_and(|high| high & 0x80 != 0);
        let mut filled = [if negative { 0xff } else { 0 }; 8];
        filled[..bytes.len()].copy_from_slice(bytes);
        Ok(Node::Int(i64::from_le_bytes(filled)))
    }

    /// Bytes after their number in `size` bytes.
    fn counted(&mut self, size: u64) -> Result<&'a [u8], Error> {
        let length = self.unsigned(size)?;
        self.take(length)
    }

    fn parse<T: std::str::FromStr>(&self, digits: &[u8]) -> Result<T, Error> {
        let text = std::str::from_utf8(digits).map(str::trim_ascii);
        text.ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            let found = printable(digits);
            self.malformed(format!("a number of at most 64 bits expected, found `{found}`"))
        })
    }

    fn memo_index(&mut self) -> Result<u64, Error> {
        match self.opcode {
            b'q' | b'h' => self.unsigned(1),
            b'r' | b'j' => self.unsigned(4),
            _ => self.line().and_then(|line| self.parse::<u32>(line)).map(u64::from),
        }
    }

    /// Stores the items of a container. There are no more containers than values.
    pub(crate) fn container(&mut self, items: Vec<NodeId>) -> u32 {
        self.arena.containers.push(items);
        (self.arena.containers.len() - 1) as u32
    }

    fn check_pairs(&self, items: &[NodeId]) -> Result<(), Error> {
        let even = items.len().is_multiple_of(2);
        if even { Ok(()) } else { Err(self.malformed("a dict key without a value")) }
    }

    fn push_node(&mut self, node: Node<'a>) -> Result<(), Error> {
        let id = self.new_value(node)?;
        self.stack.push(id);
        Ok(())
    }

    /// A value that is on no stack.
    pub(crate) fn new_value(&mut self, node: Node<'a>) -> Result<NodeId, Error> {
        self.charge(1)?; // so ids have 32 bits
        self.arena.nodes.push(node);
        Ok((self.arena.nodes.len() - 1) as NodeId)
    }

    fn push(&mut self, id: NodeId) -> Result<(), Error> {
        self.charge(1)?;
        self.stack.push(id);
        Ok(())
    }

    /// Counts what is worth so many values.
    pub(crate) fn charge(&mut self, values: usize) -> Result<(), Error> {
        let limit = self.limits.max_values;
        let left = (limit - self.pushed) as usize;
        if values > left {
            let (offset, limit) = (self.opcode_at, u64::from(limit));
            return Err(Error::TooLarge { offset, what: "values", limit });
        }
        self.pushed += values as u32;
        Ok(())
    }

    fn top(&self) -> Result<NodeId, Error> {
        let top = self.stack.last().copied().filter(|&id| id != MARK);
        top.ok_or_else(|| self.malformed("the stack holds no value for it"))
    }

    fn pop(&mut self) -> Result<NodeId, Error> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<NodeId>, Error> {
        let mark = self.stack.iter().rposition(|&id| id == MARK);
        let mark = mark.ok_or_else(|| self.malformed("no MARK before it"))?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    pub(crate) fn malformed(&self, detail: impl Into<String>) -> Error {
        Error::Malformed { offset: self.opcode_at, opcode: self.opcode, detail: detail.into() }
    }
}

/// The beginning of untrusted bytes, fit for a message.
fn printable(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(80)].escape_ascii().to_string()
}

//! The stack machine that a pickle is a program for, without the opcodes that reach outside it.

use super::cursor::Cursor;
use super::{Node, NodeId, Pickle, PickleError, PickleLimits, text};

const NO_NODE: NodeId = NodeId::MAX;

pub(super) struct Machine<'a> {
    bytes: Cursor<'a>,
    opcode: u8,
    opcode_at: usize,
    pickle: Pickle<'a>,
    stack: Vec<NodeId>,
    /// Heights of the stack at which a MARK stands: nothing below the last one may be taken.
    marks: Vec<usize>,
    memo: Vec<NodeId>,
    pushed: usize,
    limits: PickleLimits,
}

impl<'a> Machine<'a> {
    pub(super) fn new(input: &'a [u8], limits: &PickleLimits) -> Self {
        Self {
            bytes: Cursor::new(input),
            opcode: 0,
            opcode_at: 0,
            pickle: Pickle { input, ..Pickle::default() },
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            pushed: 0,
            limits: *limits,
        }
    }

    pub(super) fn run(mut self) -> Result<Pickle<'a>, PickleError> {
        loop {
            self.opcode_at = self.bytes.offset();
            self.opcode = self.bytes.byte()?;
            if self.opcode == b'.' {
                self.pickle.root = self.pop()?;
                return Ok(self.pickle);
            }
            if let Some(node) = self.scalar()? {
                self.push_node(node)?;
            } else if !self.container()? && !self.memo_or_stack()? {
                return Err(self.refusal());
            }
        }
    }

    /// The opcodes that push one value on their own.
    fn scalar(&mut self) -> Result<Option<Node>, PickleError> {
        let node = match self.opcode {
            b'N' => Node::None,
            0x88 => Node::Bool(true),
            0x89 => Node::Bool(false),
            b'K' => Node::Int(i64::from(self.bytes.byte()?)),
            b'M' => Node::Int(i64::from(u16::from_le_bytes(self.bytes.array()?))),
            b'J' => Node::Int(i64::from(i32::from_le_bytes(self.bytes.array()?))),
            b'I' => self.decimal_int()?,
            b'L' => {
                let line = self.bytes.line()?;
                Node::Int(self.parse(line.strip_suffix(b"L").unwrap_or(line))?)
            }
            0x8a => {
                let length = u64::from(self.bytes.byte()?);
                self.long(length)?
            }
            0x8b => {
                let length = u64::from(self.bytes.u32()?);
                self.long(length)?
            }
            b'F' => {
                let line = self.bytes.line()?;
                Node::Float(self.parse(line)?)
            }
            b'G' => Node::Float(f64::from_be_bytes(self.bytes.array()?)),
            b'S' => {
                let line = self.bytes.line()?;
                let decoded = text::from_literal(line).map_err(|detail| self.malformed(detail))?;
                self.pickle.text(decoded)
            }
            b'V' => {
                let line = self.bytes.line()?;
                let decoded = text::from_raw_unicode_escape(line);
                let decoded = decoded.map_err(|detail| self.malformed(detail))?;
                self.pickle.text(decoded)
            }
            b'U' | b'C' | 0x8c => {
                let length = u64::from(self.bytes.byte()?);
                self.text(length)?
            }
            b'T' | b'B' | b'X' => {
                let length = u64::from(self.bytes.u32()?);
                self.text(length)?
            }
            0x8d | 0x8e | 0x96 => {
                let length = self.bytes.u64()?;
                self.text(length)?
            }
            b']' => Node::List(self.pickle.container(Vec::new())),
            b'}' => Node::Dict(self.pickle.container(Vec::new())),
            b')' => Node::Tuple(self.pickle.container(Vec::new())),
            _ => return Ok(None),
        };
        Ok(Some(node))
    }

    /// The opcodes that build or fill a container from the stack; false if this is none of them.
    fn container(&mut self) -> Result<bool, PickleError> {
        match self.opcode {
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push_container(Node::List, items)?;
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_container(Node::Tuple, items)?;
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.check_pairs(&items)?;
                self.push_container(Node::Dict, items)?;
            }
            0x85..=0x87 => {
                let mut items = vec![NO_NODE; usize::from(self.opcode - 0x84)];
                for slot in items.iter_mut().rev() {
                    *slot = self.pop()?;
                }
                self.push_container(Node::Tuple, items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.top_list()?.push(item);
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.top_list()?.extend(items);
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.check_pairs(&[key, value])?;
                self.top_dict()?.extend([key, value]);
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.check_pairs(&items)?;
                self.top_dict()?.extend(items);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The opcodes that move references about; false if this is none of them.
    fn memo_or_stack(&mut self) -> Result<bool, PickleError> {
        match self.opcode {
            b'(' => {
                // A mark is closed by the container it opens, so marks nest no deeper than values.
                if self.marks.len() >= self.limits.max_depth {
                    return Err(self.too_large("open marks", self.limits.max_depth));
                }
                self.marks.push(self.stack.len());
            }
            b'0' if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
            }
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            b'p' | b'q' | b'r' => {
                let index = self.memo_index()?;
                self.remember(index)?;
            }
            0x94 => self.remember(self.memo.len())?,
            b'g' | b'h' | b'j' => {
                let index = self.memo_index()?;
                match self.memo.get(index).copied() {
                    Some(node) if node != NO_NODE => self.push(node)?,
                    _ => return Err(self.malformed(format!("memo {index} was never set"))),
                }
            }
            0x80 => {
                let protocol = self.bytes.byte()?;
                if protocol > 5 {
                    return Err(self.malformed(format!("protocol 0 to 5 expected, not {protocol}")));
                }
            }
            // FRAME only announces how much follows.
            0x95 => {
                let length = self.bytes.u64()?;
                self.bytes.require(length)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The error for an opcode that is none of the above, with the name of what it asks for.
    fn refusal(&mut self) -> PickleError {
        let offset = self.opcode_at;
        let (opcode, name) = match self.opcode {
            b'c' => ("GLOBAL", self.global_name()),
            b'i' => ("INST", self.global_name()),
            0x93 => ("STACK_GLOBAL", self.stacked_name()),
            b'R' => ("REDUCE", "a call".to_owned()),
            b'b' => ("BUILD", "an object's state to be set".to_owned()),
            b'o' => ("OBJ", "an instance of a class".to_owned()),
            0x81 => ("NEWOBJ", "an instance of a class".to_owned()),
            0x92 => ("NEWOBJ_EX", "an instance of a class".to_owned()),
            b'P' => ("PERSID", "an object from outside the file".to_owned()),
            b'Q' => ("BINPERSID", "an object from outside the file".to_owned()),
            0x82 => ("EXT1", "a registered extension".to_owned()),
            0x83 => ("EXT2", "a registered extension".to_owned()),
            0x84 => ("EXT4", "a registered extension".to_owned()),
            0x8f => ("EMPTY_SET", "a set".to_owned()),
            0x90 => ("ADDITEMS", "a set".to_owned()),
            0x91 => ("FROZENSET", "a frozen set".to_owned()),
            0x97 => ("NEXT_BUFFER", "a buffer from outside the file".to_owned()),
            0x98 => ("READONLY_BUFFER", "a buffer from outside the file".to_owned()),
            byte => return PickleError::UnknownOpcode { offset, byte },
        };
        PickleError::Forbidden { offset, opcode, name }
    }

    fn global_name(&mut self) -> String {
        let mut part = || self.bytes.line().map(printable).unwrap_or_default();
        let module = part();
        format!("`{module}.{}`", part())
    }

    fn stacked_name(&mut self) -> String {
        let mut part = || match self.pop().ok().and_then(|id| self.pickle.value(id).as_str()) {
            Some(text) => printable(text.as_bytes()),
            None => "?".to_owned(),
        };
        let name = part();
        format!("`{}.{name}`", part())
    }

    fn decimal_int(&mut self) -> Result<Node, PickleError> {
        Ok(match self.bytes.line()? {
            b"00" => Node::Bool(false),
            b"01" => Node::Bool(true),
            digits => Node::Int(self.parse(digits)?),
        })
    }

    /// A two's complement number of `length` bytes, the lowest first.
    fn long(&mut self, length: u64) -> Result<Node, PickleError> {
        let bytes = self.bytes.take(length)?;
        if bytes.len() > 8 {
            let detail = format!("an integer of at most 8 bytes expected, found {length}");
            return Err(self.malformed(detail));
        }
        let negative = bytes.last().is_some_and(|high| high & 0x80 != 0);
        let mut filled = [if negative { 0xff } else { 0 }; 8];
        filled[..bytes.len()].copy_from_slice(bytes);
        Ok(Node::Int(i64::from_le_bytes(filled)))
    }

    fn text(&mut self, length: u64) -> Result<Node, PickleError> {
        let bytes = self.bytes.take(length)?;
        Ok(self.pickle.text(text::from_bytes(bytes)))
    }

    /// Checks that keys and values alternate, and that no key is a list or a dict.
    fn check_pairs(&self, items: &[NodeId]) -> Result<(), PickleError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.malformed("a dict key without a value".to_owned()));
        }
        let unhashable = |&[key, _]: &[NodeId; 2]| {
            matches!(self.pickle.node(key), Node::List(_) | Node::Dict(_))
        };
        if pairs.iter().any(unhashable) {
            return Err(self.malformed("a list or dict as the key of a dict".to_owned()));
        }
        Ok(())
    }

    fn push_container(
        &mut self,
        kind: fn(u32) -> Node,
        items: Vec<NodeId>,
    ) -> Result<(), PickleError> {
        let container = self.pickle.container(items);
        self.push_node(kind(container))
    }

    fn push_node(&mut self, node: Node) -> Result<(), PickleError> {
        let id = self.pickle.nodes.len();
        self.push(NodeId::try_from(id).unwrap_or(NO_NODE))?; // ids stay below `max_values`
        self.pickle.nodes.push(node);
        Ok(())
    }

    fn push(&mut self, id: NodeId) -> Result<(), PickleError> {
        self.pushed += 1;
        if self.pushed > self.limits.max_values {
            return Err(self.too_large("values", self.limits.max_values));
        }
        self.stack.push(id);
        Ok(())
    }

    fn top(&self) -> Result<NodeId, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&id) if self.stack.len() > floor => Ok(id),
            _ => Err(self.malformed("the stack holds no value for it".to_owned())),
        }
    }

    fn pop(&mut self) -> Result<NodeId, PickleError> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<NodeId>, PickleError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.malformed("no MARK before it".to_owned())),
        }
    }

    fn top_list(&mut self) -> Result<&mut Vec<NodeId>, PickleError> {
        match self.pickle.node(self.top()?) {
            Node::List(container) => Ok(&mut self.pickle.containers[container as usize]),
            _ => Err(self.malformed("a list expected below its items".to_owned())),
        }
    }

    fn top_dict(&mut self) -> Result<&mut Vec<NodeId>, PickleError> {
        match self.pickle.node(self.top()?) {
            Node::Dict(container) => Ok(&mut self.pickle.containers[container as usize]),
            _ => Err(self.malformed("a dict expected below its items".to_owned())),
        }
    }

    fn memo_index(&mut self) -> Result<usize, PickleError> {
        Ok(match self.opcode {
            b'q' | b'h' => usize::from(self.bytes.byte()?),
            b'r' | b'j' => self.bytes.u32()? as usize,
            _ => {
                let line = self.bytes.line()?;
                self.parse::<u32>(line)? as usize
            }
        })
    }

    fn remember(&mut self, index: usize) -> Result<(), PickleError> {
        let top = self.top()?;
        if index >= self.limits.max_values {
            return Err(self.too_large("memo entries", self.limits.max_values));
        }
        if index >= self.memo.len() {
            self.memo.resize(index + 1, NO_NODE);
        }
        self.memo[index] = top;
        Ok(())
    }

    fn parse<T: std::str::FromStr>(&self, digits: &[u8]) -> Result<T, PickleError> {
        let text = std::str::from_utf8(digits).map(str::trim_ascii);
        text.ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            self.malformed(format!(
                "a number of at most 64 bits expected, found `{}`",
                printable(digits)
            ))
        })
    }

    fn malformed(&self, detail: String) -> PickleError {
        PickleError::Malformed { offset: self.opcode_at, opcode: self.opcode, detail }
    }

    fn too_large(&self, what: &'static str, limit: usize) -> PickleError {
        PickleError::TooLarge { offset: self.opcode_at, what, limit: limit as u64 }
    }
}

/// The beginning of a stranger's bytes, fit for a message.
fn printable(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(80)].escape_ascii().to_string()
}

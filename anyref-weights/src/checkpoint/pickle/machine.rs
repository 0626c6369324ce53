//! Interpreter of a pickle's instructions.

use std::collections::HashMap;

use super::{Global, Input, Node, Pickle, Storage, Value};
use crate::error::Result;

/// Maximum values of a pickle.
const MAX_VALUES: usize = 4 << 20;
/// Maximum values of a pickle of plain data; the annotations of a data set have millions.
const MAX_PLAIN_VALUES: usize = 256 << 20;

/// Reads one pickle up to its STOP instruction.
pub(in super::super) fn read(input: &mut Input<'_>) -> Result<Pickle> {
    let mut machine = Machine {
        input,
        nodes: Vec::new(),
        storages: Vec::new(),
        storage_keys: HashMap::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        values: 0,
    };
    while machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickle {
        nodes: machine.nodes,
        storages: machine.storages,
        root,
    })
}

pub(super) struct Machine<'a, 'f> {
    pub(super) input: &'a mut Input<'f>,
    pub(super) nodes: Vec<Node>,
    pub(super) storages: Vec<Storage>,
    pub(super) storage_keys: HashMap<String, usize>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    values: usize,
}

impl Machine<'_, '_> {
    /// Executes one instruction; returns `false` after the last.
    fn step(&mut self) -> Result<bool> {
        match self.input.byte()? {
            b'.' => return Ok(false),
            // Protocol and frame are skipped.
            0x80 => drop(self.input.byte()?),
            0x95 => drop(self.input.u64()?),
            // Marks and the stack.
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => self.push(*self.top()?)?,
            // Constants.
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'J' => {
                let value = self.input.u32()?.cast_signed();
                self.push(Value::Int(value.into()))?;
            }
            b'K' => {
                let value = self.input.byte()?;
                self.push(Value::Int(value.into()))?;
            }
            b'M' => {
                let value = self.input.u16()?;
                self.push(Value::Int(value.into()))?;
            }
            0x8a => {
                let length = self.input.byte()?;
                self.push_long(length.into())?;
            }
            0x8b => {
                let length = self.input.u32()?;
                self.push_long(length.into())?;
            }
            b'I' | b'L' => {
                let line = self.input.line()?;
                self.push(match line.trim_end_matches('L') {
                    "00" => Value::Bool(false),
                    "01" => Value::Bool(true),
                    digits => digits.parse().map_or(Value::None, Value::Int),
                })?;
            }
            b'G' => {
                let bits = u64::from_be_bytes(self.input.array()?);
                self.push(Value::Float(f64::from_bits(bits)))?;
            }
            b'F' => {
                let line = self.input.line()?;
                self.push(line.trim().parse().map_or(Value::None, Value::Float))?;
            }
            // Texts and bytes.
            b'U' | 0x8c => {
                let length = self.input.byte()?;
                self.push_text(length.into())?;
            }
            b'X' | b'T' => {
                let length = self.input.u32()?;
                self.push_text(length.into())?;
            }
            0x8d => {
                let length = self.input.u64()?;
                self.push_text(length)?;
            }
            b'V' => {
                let text = self.input.escaped_line()?;
                self.push_node(Node::Text(text))?;
            }
            b'S' => {
                let text = self.input.quoted_line()?;
                self.push_node(Node::Text(text))?;
            }
            b'C' => {
                let length = self.input.byte()?;
                self.skip(length.into())?;
            }
            b'B' => {
                let length = self.input.u32()?;
                self.skip(length.into())?;
            }
            0x8e | 0x96 => {
                let length = self.input.u64()?;
                self.skip(length)?;
            }
            // Containers.
            b')' => self.push_node(Node::Tuple(Vec::new()))?,
            b']' => self.push_node(Node::List(Vec::new()))?,
            b'}' => self.push_node(Node::Dict(Vec::new()))?,
            count @ 0x85..=0x87 => {
                let first = self.stack.len().checked_sub(usize::from(count - 0x84));
                let first = first.ok_or_else(|| self.underflow())?;
                let items = self.stack.split_off(first);
                self.push_node(Node::Tuple(items))?;
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push_node(Node::Tuple(items))?;
            }
            b'l' => {
                let items = self.pop_mark()?;
                self.push_node(Node::List(items))?;
            }
            b'd' => {
                let pairs = pairs(&self.pop_mark()?);
                self.push_node(Node::Dict(pairs))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(&[item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.extend(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.extend(&items)?;
            }
            // Memo.
            b'q' => {
                let key = self.input.byte()?;
                self.remember(key.into())?;
            }
            b'r' => {
                let key = self.input.u32()?;
                self.remember(key.into())?;
            }
            b'p' => {
                let key = self.memo_key()?;
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let key = self.input.byte()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = self.input.u32()?;
                self.recall(key.into())?;
            }
            b'g' => {
                let key = self.memo_key()?;
                self.recall(key)?;
            }
            // Names and the objects made with them.
            b'c' => {
                let module = self.input.line()?;
                let name = self.input.line()?;
                self.global(&module, &name)?;
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                match (self.owned_text(module), self.owned_text(name)) {
                    (Some(module), Some(name)) => self.global(&module, &name)?,
                    _ => return Err(self.input.corrupt("a name in the pickle is not a text")),
                }
            }
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            b'Q' => self.persistent()?,
            b'i' => {
                let module = self.input.line()?;
                let name = self.input.line()?;
                return Err(self.input.foreign(&module, &name));
            }
            code => {
                let reason = format!("instruction 0x{code:02x}, which no table of tensors needs");
                return Err(self.input.corrupt(reason));
            }
        }
        Ok(true)
    }

    pub(super) fn underflow(&self) -> crate::error::Error {
        self.input
            .corrupt("an instruction of the pickle lacks its operands")
    }

    /// Counts values, so that sharing cannot multiply them.
    pub(super) fn charge(&mut self, values: usize) -> Result<()> {
        let most = match self.input.is_plain() {
            true => MAX_PLAIN_VALUES,
            false => MAX_VALUES,
        };
        self.values += values;
        match self.values <= most {
            true => Ok(()),
            false => Err(self
                .input
                .corrupt(format!("the pickle has over {most} values"))),
        }
    }

    pub(super) fn push(&mut self, value: Value) -> Result<()> {
        self.charge(1)?;
        self.stack.push(value);
        Ok(())
    }

    pub(super) fn push_node(&mut self, node: Node) -> Result<()> {
        self.nodes.push(node);
        self.push(Value::Node(self.nodes.len() - 1))
    }

    fn push_text(&mut self, length: u64) -> Result<()> {
        let text = self.input.text(length)?;
        self.push_node(Node::Text(text))
    }

    fn push_long(&mut self, length: u64) -> Result<()> {
        let value = self.input.long(length)?;
        self.push(value.map_or(Value::None, Value::Int))
    }

    fn skip(&mut self, length: u64) -> Result<()> {
        self.input.take(length)?;
        self.push(Value::None)
    }

    /// Lowest stack position that may be popped above the current mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn pop(&mut self) -> Result<Value> {
        if self.stack.len() <= self.floor() {
            return Err(self.underflow());
        }
        self.stack.pop().ok_or_else(|| self.underflow())
    }

    pub(super) fn top(&self) -> Result<&Value> {
        self.stack.last().ok_or_else(|| self.underflow())
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        let mark = mark.ok_or_else(|| self.underflow())?;
        Ok(self.stack.split_off(mark))
    }

    /// Adds items to the list, or pairs to the dictionary, on top of the stack.
    fn extend(&mut self, items: &[Value]) -> Result<()> {
        self.charge(items.len())?;
        match *self.top()? {
            Value::Node(i) => match &mut self.nodes[i] {
                Node::List(list) => list.extend_from_slice(items),
                Node::Dict(dict) => dict.extend(pairs(items)),
                _ => {
                    return Err(self
                        .input
                        .corrupt("the pickle appends to an object that is not a container"));
                }
            },
            _ => {
                return Err(self
                    .input
                    .corrupt("the pickle appends to an object that is not a container"));
            }
        }
        Ok(())
    }

    fn memo_key(&mut self) -> Result<u64> {
        let line = self.input.line()?;
        line.parse()
            .map_err(|_| self.input.corrupt("a memo position is not a number"))
    }

    fn remember(&mut self, key: u64) -> Result<()> {
        let value = *self.top()?;
        self.charge(1)?;
        self.memo.insert(key, value);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<()> {
        let value = self.memo.get(&key).copied();
        self.push(value.ok_or_else(|| {
            self.input
                .corrupt("the pickle reads a memo entry that it never wrote")
        })?)
    }

    pub(super) fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(i) => self.nodes.get(i),
            _ => None,
        }
    }

    pub(super) fn owned_text(&self, value: Value) -> Option<String> {
        match self.node(value) {
            Some(Node::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, value: Value) -> Option<&[Value]> {
        match self.node(value) {
            Some(Node::Tuple(items)) => Some(items),
            _ => None,
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        match Global::find(module, name) {
            Some(global) if !self.input.is_plain() => self.push_node(Node::Global(global)),
            _ => Err(self.input.foreign(module, name)),
        }
    }
}

/// Pairs of alternating keys and values.
fn pairs(items: &[Value]) -> Vec<(Value, Value)> {
    items
        .chunks_exact(2)
        .map(|pair| (pair[0], pair[1]))
        .collect()
}

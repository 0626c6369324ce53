//! Objects that a pickle creates by calling the names it may mention.

use super::machine::Machine;
use super::{Global, Node, Storage, Tensor, Value};
use crate::error::Result;

impl Machine<'_, '_> {
    /// Pushes the result of calling a known name.
    pub(super) fn reduce(&mut self) -> Result<()> {
        let arguments = self.pop()?;
        let callable = self.pop()?;
        let Some(&Node::Global(global)) = self.node(callable) else {
            return Err(self
                .input
                .corrupt("the pickle calls an object that is not a known name"));
        };
        let Some(arguments) = self.tuple(arguments) else {
            return Err(self.input.corrupt("the pickle calls without a tuple"));
        };
        match global {
            Global::OrderedDict => {
                let items = match arguments.first().and_then(|&list| self.node(list)) {
                    Some(Node::List(items)) => items.as_slice(),
                    _ => &[],
                };
                let pairs: Vec<_> = items
                    .iter()
                    .filter_map(|&item| match self.node(item) {
                        Some(Node::Tuple(pair) | Node::List(pair)) if pair.len() == 2 => {
                            Some((pair[0], pair[1]))
                        }
                        _ => None,
                    })
                    .collect();
                self.charge(2 * pairs.len())?;
                self.push_node(Node::Dict(pairs))
            }
            Global::RebuildTensor => {
                let tensor = self.rebuild(arguments);
                let tensor = tensor.map_err(|reason| self.input.corrupt(reason))?;
                self.charge(2 * tensor.shape.len())?;
                self.push_node(Node::Tensor(tensor))
            }
            Global::RebuildParameter => {
                let first = arguments.first().copied();
                self.push(first.ok_or_else(|| self.underflow())?)
            }
            Global::RebuildFromType => {
                let (function, inner) = match arguments {
                    [function, _, inner, ..] => (*function, *inner),
                    _ => return Err(self.underflow()),
                };
                // The function must be another known name than this one, which rules out recursion.
                if !matches!(
                    self.node(function),
                    Some(Node::Global(Global::RebuildTensor))
                ) {
                    return Err(self
                        .input
                        .corrupt("the pickle rebuilds a tensor with an unexpected function"));
                }
                self.push(function)?;
                self.push(inner)?;
                self.reduce()
            }
            Global::Storage(_) => Err(self.input.corrupt("the pickle calls a storage type")),
            Global::Inert => self.push(Value::None),
        }
    }

    /// Creates a view of a storage, checked against the storage's length.
    fn rebuild(&self, arguments: &[Value]) -> std::result::Result<Tensor, String> {
        let [storage, offset, shape, strides, ..] = *arguments else {
            return Err("a tensor lacks its arguments".into());
        };
        let Some(&Node::Storage(storage)) = self.node(storage) else {
            return Err("a tensor is not in a storage".into());
        };
        let numbers = |value: Value| -> Option<Vec<usize>> {
            let number = |&item: &Value| match item {
                Value::Int(number) => usize::try_from(number).ok(),
                _ => None,
            };
            self.tuple(value)?.iter().map(number).collect()
        };
        let (Some(shape), Some(strides), Value::Int(offset @ 0..)) =
            (numbers(shape), numbers(strides), offset)
        else {
            return Err("the shape of a tensor is not of natural numbers".into());
        };
        let available = self.storages[storage].elements;
        let offset = offset.cast_unsigned();
        let count = shape
            .iter()
            .try_fold(1u64, |product, &n| product.checked_mul(n as u64));
        let last = shape
            .iter()
            .zip(&strides)
            .try_fold(offset, |sum, (&n, &stride)| {
                let span = (n as u64).saturating_sub(1).checked_mul(stride as u64)?;
                sum.checked_add(span)
            });
        match (count, last) {
            _ if shape.len() != strides.len() => {
                Err("a tensor has other strides than sizes".into())
            }
            (Some(0), _) => Ok(Tensor {
                storage,
                offset: 0,
                shape,
                strides,
            }),
            (Some(count), Some(last)) if last < available && count <= available => Ok(Tensor {
                storage,
                offset,
                shape,
                strides,
            }),
            _ => Err(format!(
                "a tensor of shape {shape:?} does not fit its storage of {available} elements"
            )),
        }
    }

    /// Skips attributes of a dictionary (`_metadata`) or a tensor; any others are an error.
    pub(super) fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.node(*self.top()?) {
            Some(Node::Dict(_) | Node::Tensor(_)) => Ok(()),
            _ => Err(self
                .input
                .corrupt("the pickle sets attributes of an object that is not a tensor")),
        }
    }

    /// Handles the persistent id `("storage", type, key, device, elements)`.
    pub(super) fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let parts = self.tuple(id).unwrap_or_default();
        let [_, kind, key, _, Value::Int(elements @ 0..), ref view @ ..] = *parts else {
            return Err(self
                .input
                .corrupt("a storage in the pickle lacks its parts"));
        };
        if !matches!(view, [] | [Value::None]) {
            return Err(self
                .input
                .corrupt("a storage is a view of another, as in PyTorch 0.1"));
        }
        let (Some(&Node::Global(Global::Storage(dtype))), Some(key)) =
            (self.node(kind), self.owned_text(key))
        else {
            return Err(self
                .input
                .corrupt("a storage in the pickle lacks its type or key"));
        };
        let storage = Storage {
            key: key.clone(),
            dtype,
            elements: elements.cast_unsigned(),
        };
        let index = match self.storage_keys.get(&key) {
            Some(&index) if self.storages[index] == storage => index,
            Some(_) => {
                let reason = format!("storage `{key}` is there with two types or lengths");
                return Err(self.input.corrupt(reason));
            }
            None => {
                self.storages.push(storage);
                self.storage_keys.insert(key, self.storages.len() - 1);
                self.storages.len() - 1
            }
        };
        self.push_node(Node::Storage(index))
    }
}

//! The instructions of a pickle that describe tensors, carried out on values that own nothing outside of them.

use super::TorchError;
use ::safetensors::tensor::Dtype;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Tuples in tuples: far more than `torch.save` makes, few enough to be taken apart again on any stack.
const DEEPEST: usize = 64;
/// Values at one time: far more than any model has.
const MOST: usize = 1 << 22;

/// A tensor as its pickle describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) storage: String,
    pub(super) dtype: Dtype,
    /// The first element in its storage.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// Elements of the storage from one to the next, axis by axis.
    pub(super) strides: Vec<usize>,
}

/// What a pickle is about.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// None, numbers that are no integers, and whatever else needs no name.
    Plain,
    Int(i64),
    Text(Rc<str>),
    /// Something of Python's, by module and name.
    Global(Global),
    /// With its depth.
    Tuple(Rc<[Value]>, usize),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// A type of numbers and the name of their storage.
    Storage(Rc<str>, Dtype),
    Tensor(Rc<Described>),
}

/// What a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// Makes a tensor of a storage.
    Tensor,
    /// Makes a parameter of a tensor.
    Parameter,
    /// A dictionary.
    Dict,
    /// A storage of such numbers.
    Storage(Dtype),
}

/// All names that are known.
const GLOBALS: [(&str, Global); 14] = [
    ("torch._utils _rebuild_tensor_v2", Global::Tensor),
    ("torch._utils _rebuild_parameter", Global::Parameter),
    ("collections OrderedDict", Global::Dict),
    ("torch FloatStorage", Global::Storage(Dtype::F32)),
    ("torch HalfStorage", Global::Storage(Dtype::F16)),
    ("torch BFloat16Storage", Global::Storage(Dtype::BF16)),
    ("torch DoubleStorage", Global::Storage(Dtype::F64)),
    ("torch LongStorage", Global::Storage(Dtype::I64)),
    ("torch IntStorage", Global::Storage(Dtype::I32)),
    ("torch ShortStorage", Global::Storage(Dtype::I16)),
    ("torch CharStorage", Global::Storage(Dtype::I8)),
    ("torch ByteStorage", Global::Storage(Dtype::U8)),
    ("torch BoolStorage", Global::Storage(Dtype::BOOL)),
    ("torch UntypedStorage", Global::Storage(Dtype::U8)),
];

/// Carries out a pickle.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() }
    }

    /// The value that the pickle describes, and its length.
    pub(super) fn run(mut self) -> Result<(Value, usize), TorchError> {
        loop {
            let code = self.take(1)?[0];
            if code == b'.' {
                let value = self.pop()?;
                return Ok((value, self.at));
            }
            self.step(code)?;
            if self.stack.len() > MOST || self.memo.len() > MOST {
                return Err(self.damaged("it is too long"));
            }
        }
    }

    fn step(&mut self, code: u8) -> Result<(), TorchError> {
        match code {
            // Protocol; only the instructions matter.
            0x80 => drop(self.take(1)?),
            b'(' => self.marks.push(self.stack.len()),
            b'N' | 0x88 | 0x89 => self.stack.push(Value::Plain),
            b'G' => {
                self.take(8)?;
                self.stack.push(Value::Plain);
            }
            b'K' => self.int::<1>(false)?,
            b'M' => self.int::<2>(false)?,
            b'J' => self.int::<4>(true)?,
            0x8a => {
                let len = usize::from(self.take(1)?[0]);
                let bytes = self.take(len)?;
                // Longer numbers are magic ones, which nothing here depends on.
                let value = if len <= 8 { integer(bytes, true) } else { 0 };
                self.stack.push(Value::Int(value));
            }
            b'X' => {
                let len = integer(self.take(4)?, false) as usize;
                let text = std::str::from_utf8(self.take(len)?).map_err(|_| self.damaged("a text is not UTF-8"))?;
                self.stack.push(Value::Text(text.into()));
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let found = format!("{module} {name}");
                let known = GLOBALS.iter().find(|(known, _)| *known == found);
                let (_, global) = known.ok_or(TorchError::Refused { what: format!("`{module}.{name}`") })?;
                self.stack.push(Value::Global(*global));
            }
            b'}' => self.stack.push(Value::Dict(Vec::new())),
            b']' => self.stack.push(Value::List(Vec::new())),
            b')' => self.tuple(Vec::new())?,
            b't' => {
                let items = self.since_mark()?;
                self.tuple(items)?;
            }
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let first = self.stack.len().checked_sub(count).ok_or_else(|| self.damaged("a tuple lacks items"))?;
                let items = self.stack.split_off(first);
                self.tuple(items)?;
            }
            b'q' => self.put::<1>()?,
            b'r' => self.put::<4>()?,
            b'h' => self.get::<1>()?,
            b'j' => self.get::<4>()?,
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.extend(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(items)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(&id)?;
                self.stack.push(storage);
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let value = self.call(&function, &arguments)?;
                self.stack.push(value);
            }
            // Attributes of a dictionary, such as the versions of its modules.
            b'b' => {
                self.pop()?;
                if !matches!(self.stack.last(), Some(Value::Dict(_))) {
                    return Err(TorchError::Refused { what: "attributes of an object".to_owned() });
                }
            }
            other => return Err(TorchError::Refused { what: format!("instruction {other:#04x}") }),
        }
        Ok(())
    }

    fn damaged(&self, problem: &'static str) -> TorchError {
        TorchError::Damaged { at: self.at, problem }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], TorchError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..len).ok_or_else(|| self.damaged("it ends"))?;
        self.at += len;
        Ok(taken)
    }

    /// The text up to the end of a line.
    fn line(&mut self) -> Result<&'a str, TorchError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| self.damaged("it ends"))?;
        self.at += len + 1;
        std::str::from_utf8(&rest[..len]).map_err(|_| self.damaged("a name is not UTF-8"))
    }

    fn pop(&mut self) -> Result<Value, TorchError> {
        // What is below a mark belongs to what will be made there.
        let floor = self.marks.last().copied().unwrap_or(0);
        let value = if self.stack.len() > floor { self.stack.pop() } else { None };
        value.ok_or_else(|| self.damaged("a value is missing"))
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, TorchError> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        let mark = mark.ok_or_else(|| self.damaged("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    fn int<const N: usize>(&mut self, signed: bool) -> Result<(), TorchError> {
        let value = integer(self.take(N)?, signed);
        self.stack.push(Value::Int(value));
        Ok(())
    }

    fn tuple(&mut self, items: Vec<Value>) -> Result<(), TorchError> {
        let depth = |value: &Value| match value {
            Value::Tuple(_, depth) => *depth,
            // Lists and dictionaries are within nothing.
            _ => 0,
        };
        let depth = 1 + items.iter().map(depth).max().unwrap_or(0);
        if depth > DEEPEST {
            return Err(self.damaged("tuples are nested too deeply"));
        }
        self.stack.push(Value::Tuple(items.iter().map(Value::shallow).collect(), depth));
        Ok(())
    }

    /// Remembers the top of the stack.
    fn put<const N: usize>(&mut self) -> Result<(), TorchError> {
        let number = integer(self.take(N)?, false) as u32;
        let value = self.stack.last().map(Value::shallow).ok_or_else(|| self.damaged("a value is missing"))?;
        self.memo.insert(number, value);
        Ok(())
    }

    fn get<const N: usize>(&mut self) -> Result<(), TorchError> {
        let number = integer(self.take(N)?, false) as u32;
        let value = self.memo.get(&number).cloned().ok_or_else(|| self.damaged("nothing of this number is known"))?;
        self.stack.push(value);
        Ok(())
    }

    fn extend(&mut self, items: Vec<Value>) -> Result<(), TorchError> {
        match self.stack.last_mut() {
            Some(Value::List(list)) => list.extend(items.iter().map(Value::shallow)),
            _ => return Err(self.damaged("items belong to no list")),
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Value>) -> Result<(), TorchError> {
        match self.stack.last_mut() {
            Some(Value::Dict(dict)) if items.len().is_multiple_of(2) => {
                let mut items = items.iter().map(Value::shallow);
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    dict.push((key, value));
                }
                Ok(())
            }
            _ => Err(self.damaged("items belong to no dictionary")),
        }
    }

    /// The storage of a persistent id: `("storage", type, key, place, elements, ..)`.
    fn storage(&self, id: &Value) -> Result<Value, TorchError> {
        let Value::Tuple(items, _) = id else { return Err(self.damaged("a storage is not named by a tuple")) };
        match &items[..] {
            [Value::Text(kind), Value::Global(Global::Storage(dtype)), Value::Text(key), ..]
                if &**kind == "storage" =>
            {
                Ok(Value::Storage(Rc::clone(key), *dtype))
            }
            _ => Err(self.damaged("a storage is not described as one")),
        }
    }

    /// Makes what a function makes.
    fn call(&self, function: &Value, arguments: &Value) -> Result<Value, TorchError> {
        let (Value::Global(function), Value::Tuple(arguments, _)) = (function, arguments) else {
            return Err(self.damaged("something that is no function is called"));
        };
        match (function, &arguments[..]) {
            (Global::Dict, []) => Ok(Value::Dict(Vec::new())),
            (Global::Parameter, [tensor @ Value::Tensor(_), ..]) => Ok(tensor.clone()),
            (
                Global::Tensor,
                [
                    Value::Storage(storage, dtype),
                    Value::Int(offset),
                    Value::Tuple(shape, _),
                    Value::Tuple(strides, _),
                    ..,
                ],
            ) => {
                let size = |value: &Value| match value {
                    Value::Int(size) => usize::try_from(*size).ok(),
                    _ => None,
                };
                let sizes = |items: &[Value]| items.iter().map(size).collect::<Option<Vec<usize>>>();
                let parts = (size(&Value::Int(*offset)), sizes(shape), sizes(strides));
                let (Some(offset), Some(shape), Some(strides)) = parts else {
                    return Err(self.damaged("a size is no size"));
                };
                if shape.len() != strides.len() {
                    return Err(self.damaged("a tensor has not as many strides as axes"));
                }
                let storage = storage.to_string();
                Ok(Value::Tensor(Rc::new(Described { storage, dtype: *dtype, offset, shape, strides })))
            }
            _ => Err(self.damaged("a function is called with something else than it takes")),
        }
    }
}

impl Value {
    /// The value itself, but of a list or dictionary, which nothing here keeps within another value, an empty one: so that no
    /// value can be made to hold more than the pickle does.
    fn shallow(&self) -> Value {
        match self {
            Value::List(_) => Value::List(Vec::new()),
            Value::Dict(_) => Value::Dict(Vec::new()),
            other => other.clone(),
        }
    }
}

/// Up to 8 bytes as a number.
fn integer(bytes: &[u8], signed: bool) -> i64 {
    let negative = signed && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    i64::from_le_bytes(wide)
}

//! Reader and writer of the protocol buffers wire format
//! (<https://protobuf.dev/programming-guides/encoding/>).

/// Value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Integers, booleans and enumerations.
    Varint(u64),
    /// Texts, bytes or messages.
    Bytes(&'a [u8]),
    /// Eight bytes.
    Fixed64([u8; 8]),
    /// Four bytes.
    Fixed32([u8; 4]),
}

impl<'a> Value<'a> {
    /// Returns the bytes of a text, byte string or message.
    ///
    /// # Errors
    /// When the field is of another type.
    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed("a field is not the text or message it should be")),
        }
    }

    /// Returns a text.
    ///
    /// # Errors
    /// When the field is of another type or not UTF-8.
    pub fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// Returns an integer, or the number of an enumeration's value.
    ///
    /// # Errors
    /// When the field is of another type.
    pub fn integer(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(Malformed("a field is not the integer it should be")),
        }
    }

    /// Returns a boolean.
    ///
    /// # Errors
    /// When the field is of another type.
    pub fn flag(self) -> Result<bool, Malformed> {
        Ok(self.integer()? != 0)
    }

    /// Returns a `float`.
    ///
    /// # Errors
    /// When the field is of another type.
    pub fn float(self) -> Result<f32, Malformed> {
        match self {
            Self::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(Malformed("a field is not the number it should be")),
        }
    }
}

/// Reason why bytes are not a valid message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Iterator over the fields of a message in file order, by number; it ends after the first error.
#[derive(Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Iterates over the fields of a serialised message.
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed("it ends in the middle of a field"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| Malformed("a field is cut"))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.fixed()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("an integer has no end"))
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed()?),
            2 => {
                let length = self.varint()?;
                // A length beyond the address space is also beyond the message.
                Value::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => Value::Fixed32(self.fixed()?),
            _ => return Err(Malformed("a field has an unknown wire type")),
        };
        match tag >> 3 {
            0 => Err(Malformed("a field has the number 0")),
            number => Ok((number, value)),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Builder of a message; fields are appended in the order of the calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// Serialised message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    /// Appends an integer; 0, the default of every field, is omitted.
    pub fn integer(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.tag(field, 0);
            self.varint(value);
        }
    }

    /// Appends a `double`.
    pub fn double(&mut self, field: u64, value: f64) {
        self.tag(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    /// Appends a text, a byte string or a message.
    pub fn bytes(&mut self, field: u64, value: &[u8]) {
        self.tag(field, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    /// Appends a `float`.
    pub fn float(&mut self, field: u64, value: f32) {
        self.tag(field, 5);
        self.0.extend(value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Vec<(u64, Value<'_>)>, Malformed> {
        Fields::new(message).collect()
    }

    #[test]
    fn every_wire_type_is_read() {
        // 1: 150, as in protobuf's own documentation; 2: "testing"; 3: 1.5f32; 4: eight bytes.
        let mut message = vec![0x08, 0x96, 0x01, 0x12, 0x07];
        message.extend(b"testing");
        message.push(0x1d);
        message.extend(1.5f32.to_le_bytes());
        message.push(0x21);
        message.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        let fields = read(&message).unwrap();
        assert_eq!(fields[0].1.integer(), Ok(150));
        assert_eq!(fields[1].1.text(), Ok("testing"));
        assert_eq!(fields[2].1.float(), Ok(1.5));
        assert_eq!(fields[3], (4, Value::Fixed64([1, 2, 3, 4, 5, 6, 7, 8])));
        for cut in [1, 2, 4, 8, 14, 20] {
            assert!(read(&message[..cut]).is_err(), "{cut} bytes");
        }
    }

    #[test]
    fn hostile_messages_end_in_an_error() {
        assert!(read(&[0; 64]).is_err());
        assert!(read(&[0xff; 64]).is_err());
        let longest = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(read(&longest).is_err());
        assert!(read(&[0x0b]).is_err(), "groups are not used");
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        let mut inner = Message::default();
        inner.float(2, -0.5);
        let mut message = Message::default();
        message.bytes(1, "testing ▁".as_bytes());
        message.integer(2, 300);
        message.integer(3, 0);
        message.integer(4, u64::MAX);
        message.double(5, 1.25);
        message.bytes(6, inner.as_bytes());
        let fields = read(message.as_bytes()).unwrap();
        let numbers: Vec<u64> = fields.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 4, 5, 6], "0 is left out");
        assert_eq!(fields[0].1.text(), Ok("testing ▁"));
        assert_eq!(fields[1].1.integer(), Ok(300));
        assert_eq!(fields[2].1.integer(), Ok(u64::MAX));
        assert_eq!(fields[3].1, Value::Fixed64(1.25f64.to_le_bytes()));
        let inner = read(fields[4].1.bytes().unwrap()).unwrap();
        assert_eq!(inner[0].1.float(), Ok(-0.5));
    }
}

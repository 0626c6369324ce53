//! The wire format of protocol buffers, as far as reading a message needs it
//! (<https://protobuf.dev/programming-guides/encoding/>).

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    /// Integers, booleans and enumerations.
    Varint(u64),
    /// Texts, bytes and messages.
    Bytes(&'a [u8]),
    /// Eight bytes.
    Fixed64([u8; 8]),
    /// Four bytes.
    Fixed32([u8; 4]),
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed("a field is not the text or message it should be")),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    pub(super) fn integer(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(Malformed("a field is not the integer it should be")),
        }
    }

    pub(super) fn flag(self) -> Result<bool, Malformed> {
        Ok(self.integer()? != 0)
    }

    pub(super) fn float(self) -> Result<f32, Malformed> {
        match self {
            Self::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(Malformed("a field is not the number it should be")),
        }
    }
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// The fields of a message in file order, by number; nothing follows the first fault.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
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
                // A length beyond the address space is beyond the file, too.
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
}

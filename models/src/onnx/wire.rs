//! The wire format of protocol buffers, as much of it as ONNX files need.

use super::OnnxError;

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field<'a> {
    /// A number, or the bits of a fixed-size one.
    Number(u64),
    /// Text, a message, or packed numbers.
    Bytes(&'a [u8]),
}

/// The fields of a message in their order: (number, value).
pub(crate) fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Field<'_>)>, OnnxError> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            1 => Field::Number(fixed::<8>(&mut bytes)?),
            2 => {
                let length = varint(&mut bytes)? as usize;
                Field::Bytes(take(&mut bytes, length)?)
            }
            5 => Field::Number(fixed::<4>(&mut bytes)?),
            _ => return Err(OnnxError::NotOnnx),
        };
        fields.push((key >> 3, field));
    }
    Ok(fields)
}

/// Numbers of one field, which may be packed or stand apart.
pub(crate) fn integers(field: Field<'_>, into: &mut Vec<i64>) -> Result<(), OnnxError> {
    match field {
        Field::Number(number) => into.push(number as i64),
        Field::Bytes(mut bytes) => {
            while !bytes.is_empty() {
                into.push(varint(&mut bytes)? as i64);
            }
        }
    }
    Ok(())
}

/// As [`integers`], for numbers of 32 bit floating point.
pub(crate) fn floats(field: Field<'_>, into: &mut Vec<f32>) -> Result<(), OnnxError> {
    match field {
        Field::Number(bits) => into.push(f32::from_bits(bits as u32)),
        Field::Bytes(mut bytes) => {
            while !bytes.is_empty() {
                into.push(f32::from_bits(fixed::<4>(&mut bytes)? as u32));
            }
        }
    }
    Ok(())
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], OnnxError> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            Field::Number(_) => Err(OnnxError::NotOnnx),
        }
    }

    pub(crate) fn text(self) -> Result<String, OnnxError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| OnnxError::NotOnnx)
    }

    pub(crate) fn number(self) -> Result<u64, OnnxError> {
        match self {
            Field::Number(number) => Ok(number),
            Field::Bytes(_) => Err(OnnxError::NotOnnx),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, OnnxError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(OnnxError::NotOnnx)
}

fn fixed<const BYTES: usize>(bytes: &mut &[u8]) -> Result<u64, OnnxError> {
    let mut whole = [0; 8];
    whole[..BYTES].copy_from_slice(take(bytes, BYTES)?);
    Ok(u64::from_le_bytes(whole))
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], OnnxError> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(OnnxError::NotOnnx)?;
    *bytes = rest;
    Ok(taken)
}

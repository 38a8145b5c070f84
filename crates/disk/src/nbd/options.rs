//! What clients send in options, parsed; every length is checked against what is there.

/// An option's data that breaks the protocol; the client is told `REP_ERR_INVALID`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// `OPT_INFO` and `OPT_GO`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InfoRequest<'a> {
    pub(super) export: &'a str,
    pub(super) wants: Vec<u16>,
}

/// `OPT_LIST_META_CONTEXT` and `OPT_SET_META_CONTEXT`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MetaContextRequest<'a> {
    pub(super) export: &'a str,
    pub(super) queries: Vec<&'a str>,
}

impl<'a> InfoRequest<'a> {
    pub(super) fn parse(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(data);
        let export = fields.string()?;
        let count = fields.u16()?;
        // Grows only as far as the data goes.
        let wants = (0..count).map(|_| fields.u16()).collect::<Result<_, _>>()?;
        fields.end()?;
        Ok(Self { export, wants })
    }
}

impl<'a> MetaContextRequest<'a> {
    pub(super) fn parse(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(data);
        let export = fields.string()?;
        let count = fields.u32()?;
        // Each query takes at least 4 bytes, so the data's bound is this loop's bound.
        let queries = (0..count).map(|_| fields.string()).collect::<Result<_, _>>()?;
        fields.end()?;
        Ok(Self { export, queries })
    }
}

/// Big-endian fields, taken from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.take(2)?.try_into().map(u16::from_be_bytes).map_err(|_| Malformed)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.take(4)?.try_into().map(u32::from_be_bytes).map_err(|_| Malformed)
    }

    fn string(&mut self) -> Result<&'a str, Malformed> {
        let length = self.u32()?;
        let bytes = self.take(usize::try_from(length).map_err(|_| Malformed)?)?;
        std::str::from_utf8(bytes).map_err(|_| Malformed)
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_info_request_is_read() {
        let data = [0, 0, 0, 2, b'v', b'm', 0, 1, 0, 3];
        assert_eq!(InfoRequest::parse(&data), Ok(InfoRequest { export: "vm", wants: vec![3] }));
    }

    #[test]
    fn every_prefix_and_every_longer_request_is_malformed() {
        let info = [0, 0, 0, 2, b'v', b'm', 0, 1, 0, 3];
        let meta = [0, 0, 0, 1, b'v', 0, 0, 0, 1, 0, 0, 0, 2, b'b', b':'];
        assert!(MetaContextRequest::parse(&meta).is_ok());
        for end in 0..info.len() {
            assert_eq!(InfoRequest::parse(&info[..end]), Err(Malformed));
        }
        for end in 0..meta.len() {
            assert_eq!(MetaContextRequest::parse(&meta[..end]), Err(Malformed));
        }
        assert_eq!(InfoRequest::parse(&[&info[..], &[0]].concat()), Err(Malformed));
        assert_eq!(MetaContextRequest::parse(&[&meta[..], &[0]].concat()), Err(Malformed));
    }

    #[test]
    fn lying_lengths_allocate_nothing() {
        assert_eq!(InfoRequest::parse(&[0xff; 4]), Err(Malformed));
        assert_eq!(MetaContextRequest::parse(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), Err(Malformed));
    }
}

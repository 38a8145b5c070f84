//! Free space, and how much of it is kept free.
//!
//! A volume that fills to its last byte fails whoever writes next: a catalogue, a log, the collector that would make room.
//! So new work stops at a watermark, while reading, deleting and collecting, which copies a little to free much, go on
//! below it. Nothing is remembered: who asks is answered from the volume as it is, so that work goes on by itself when
//! there is room again.

use std::{fmt, io, path::PathBuf, sync::Arc};

/// A volume's space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What a user without privileges can still write.
    pub free_bytes: u64,
}

/// Who knows how much space there is.
pub trait SpaceSource: Send + Sync + fmt::Debug {
    /// The space there is now.
    ///
    /// # Errors
    /// When the volume cannot be asked.
    fn space(&self) -> io::Result<Space>;
}

/// The volume that a folder lies on.
#[derive(Debug)]
pub struct Volume(pub PathBuf);

impl SpaceSource for Volume {
    fn space(&self) -> io::Result<Space> {
        let found = rustix::fs::statvfs(&self.0)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space { total_bytes: bytes(found.f_blocks), free_bytes: bytes(found.f_bavail) })
    }
}

/// How much of a volume is kept free: where both are said, the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MinFreeSpace {
    /// So many bytes.
    pub bytes: Option<u64>,
    /// So much of all of it.
    pub percent: Option<u8>,
}

impl MinFreeSpace {
    /// In bytes, of a volume of this size.
    pub fn of(&self, total_bytes: u64) -> u64 {
        // Without a part that could overflow: a percent of 16 EiB fits.
        let share = self.percent.map(|percent| (total_bytes / 100).saturating_mul(u64::from(percent)));
        match (self.bytes, share) {
            (Some(bytes), Some(share)) => bytes.min(share),
            (bytes, share) => bytes.or(share).unwrap_or(0),
        }
    }
}

/// Why new work is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LowSpace {
    /// What is free.
    pub free_bytes: u64,
    /// What is kept free.
    pub least_free_bytes: u64,
}

impl fmt::Display for LowSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes are free and {} are kept free (min_free_space)", self.free_bytes, self.least_free_bytes)
    }
}

impl std::error::Error for LowSpace {}

/// A volume, and how much of it is kept free. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Watermark(Option<Arc<Kept>>);

#[derive(Debug)]
struct Kept {
    min: MinFreeSpace,
    source: Box<dyn SpaceSource>,
}

impl Watermark {
    /// Keeps `min` free of what `source` knows.
    pub fn new(min: MinFreeSpace, source: impl SpaceSource + 'static) -> Self {
        Self(Some(Arc::new(Kept { min, source: Box::new(source) })))
    }

    /// Nothing is kept free: what does not fit fails when it is written.
    pub fn none() -> Self {
        Self::default()
    }

    /// The space there is, and how much of it is kept free; `None` when nobody knows.
    pub fn look(&self) -> Option<(Space, u64)> {
        let kept = self.0.as_ref()?;
        match kept.source.space() {
            Ok(space) => Some((space, kept.min.of(space.total_bytes))),
            Err(error) => {
                // A volume that cannot be asked may still be written to; if not, the write says why.
                tracing::warn!(%error, source = ?kept.source, "ask for free space");
                None
            }
        }
    }

    /// Whether `more_bytes` may be written; asks the volume, so it may block.
    ///
    /// # Errors
    /// [`LowSpace`], with the numbers.
    pub fn admit(&self, more_bytes: u64) -> Result<(), LowSpace> {
        match self.look() {
            Some((space, least_free_bytes)) if least_free_bytes > 0 => {
                let is_low = space.free_bytes < least_free_bytes.saturating_add(more_bytes);
                if is_low { Err(LowSpace { free_bytes: space.free_bytes, least_free_bytes }) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(io::Result<Space>);

    impl SpaceSource for Fixed {
        fn space(&self) -> io::Result<Space> {
            self.0.as_ref().copied().map_err(|error| error.kind().into())
        }
    }

    #[test]
    fn the_watermark_is_kept_to_the_byte() {
        let min = |bytes, percent| MinFreeSpace { bytes, percent };
        for (min, free_bytes, more_bytes, admitted) in [
            (min(Some(100), None), 100, 0, true),
            (min(Some(100), None), 99, 0, false),
            (min(Some(100), None), 110, 10, true),
            (min(Some(100), None), 110, 11, false),
            (min(None, Some(5)), 50, 0, true),
            (min(None, Some(5)), 49, 0, false),
            (min(Some(10), Some(5)), 10, 0, true),
            (min(Some(100), Some(5)), 50, 0, true),
            (min(Some(100), Some(5)), 49, 0, false),
            (min(Some(0), None), 0, u64::MAX, true),
            (min(None, None), 0, 1, true),
            (min(Some(u64::MAX), None), u64::MAX, 1, true),
        ] {
            let source = Fixed(Ok(Space { total_bytes: 1000, free_bytes }));
            let outcome = Watermark::new(min, source).admit(more_bytes);
            assert_eq!(outcome.is_ok(), admitted, "{min:?} {free_bytes} {more_bytes}");
        }
        assert_eq!(Watermark::none().admit(u64::MAX), Ok(()));
        let unknown = Fixed(Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(Watermark::new(min(Some(100), None), unknown).admit(1), Ok(()));
    }

    #[test]
    fn a_volume_is_asked() {
        let space = Volume("/".into()).space().expect("every machine has a root");
        assert!(space.total_bytes >= space.free_bytes && space.total_bytes > 0);
    }
}

//! The decoders, behind one step.

use flate2::{FlushDecompress, Status as GzipStatus};
use zstd::stream::raw::Operation as _;

use crate::domain::{Packing, short_size};
use crate::limits::UNPACK_WINDOW_MAX_BYTES;

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes taken of the input.
    pub taken: usize,
    /// Bytes put into the output.
    pub made: usize,
    /// The member has ended behind what was taken.
    pub ended: bool,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Bytes of the input that were taken before it was noticed.
    pub taken: usize,
    /// What the library says.
    pub why: String,
}

/// Decodes one member of a compressed file: what goes from a header to its end.
pub(super) enum Decoder {
    Gzip(flate2::Decompress),
    Zstd(zstd::stream::raw::Decoder<'static>),
    Bzip2(bzip2::Decompress),
}

impl Decoder {
    pub fn new(packing: Packing) -> std::io::Result<Self> {
        Ok(match packing {
            // 2^15 bytes is the largest window there is.
            Packing::Gzip => Self::Gzip(flate2::Decompress::new_gzip(15)),
            Packing::Zstd => {
                let mut decoder = zstd::stream::raw::Decoder::new()?;
                decoder.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(UNPACK_WINDOW_MAX_BYTES.ilog2()))?;
                Self::Zstd(decoder)
            }
            Packing::Bzip2 => Self::Bzip2(bzip2::Decompress::new(false)),
        })
    }

    /// Takes what it can and makes what fits.
    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Damage> {
        match self {
            Self::Gzip(gzip) => {
                let (taken, made) = (gzip.total_in(), gzip.total_out());
                let status = gzip.decompress(input, output, FlushDecompress::None);
                let (taken, made) = ((gzip.total_in() - taken) as usize, (gzip.total_out() - made) as usize);
                match status {
                    Ok(status) => Ok(Step { taken, made, ended: status == GzipStatus::StreamEnd }),
                    Err(error) => Err(Damage { taken, why: error.message().unwrap_or("not in order").to_owned() }),
                }
            }
            Self::Zstd(zstd) => match zstd.run_on_buffers(input, output) {
                Ok(status) => Ok(Step { taken: status.bytes_read, made: status.bytes_written, ended: status.remaining == 0 }),
                Err(error) => Err(Damage { taken: 0, why: said_of_zstd(&error) }),
            },
            Self::Bzip2(bzip2) => {
                let (taken, made) = (bzip2.total_in(), bzip2.total_out());
                let status = bzip2.decompress(input, output);
                let (taken, made) = ((bzip2.total_in() - taken) as usize, (bzip2.total_out() - made) as usize);
                match status {
                    Ok(bzip2::Status::MemNeeded) => Err(Damage { taken, why: "no memory".into() }),
                    Ok(status) => Ok(Step { taken, made, ended: status == bzip2::Status::StreamEnd }),
                    Err(error) => Err(Damage { taken, why: error.to_string() }),
                }
            }
        }
    }
}

/// What zstd says; of a window that is too large, also what to do about it.
fn said_of_zstd(error: &std::io::Error) -> String {
    let why = error.to_string().to_lowercase();
    if why.contains("memory") || why.contains("window") {
        let max = short_size(UNPACK_WINDOW_MAX_BYTES);
        return format!("{why}: it asks for a window of more than {max}: compress it without --ultra and --long");
    }
    why
}

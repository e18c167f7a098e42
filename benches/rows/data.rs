//! Files to work on, the same in every run.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;

/// Numbers that look random, without a seed from outside (xorshift64*, Vigna 2016).
pub struct Numbers(u64);

impl Default for Numbers {
    fn default() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }
}

impl Numbers {
    /// The next one below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % bound
    }
}

/// Writes record after record until the file has so many bytes; how many it has.
fn fill(path: &Path, bytes: u64, head: &str, mut record: impl FnMut(&mut Numbers, &mut String)) -> Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut numbers, mut text, mut written) = (Numbers::default(), String::from(head), 0);
    while written < bytes {
        record(&mut numbers, &mut text);
        out.write_all(text.as_bytes())?;
        written += text.len() as u64;
        text.clear();
    }
    // On the disk before anything is measured, so that it is not written at another's cost.
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(written)
}

/// Lines of some 60 letters.
pub fn lines(path: &Path, bytes: u64) -> Result<u64> {
    fill(path, bytes, "", |numbers, text| {
        letters(text, 40 + numbers.below(40), b"abcdefghijklmnopqrstuvwxyz     ", numbers);
        text.push('\n');
    })
}

/// Spectra of 100 to 300 peaks.
pub fn spectra(path: &Path, bytes: u64) -> Result<u64> {
    let mut number = 0;
    fill(path, bytes, "", move |numbers, text| {
        number += 1;
        *text += &format!("BEGIN IONS\nTITLE=scan {number}\nPEPMASS={}.{}\nCHARGE=2+\n", 300 + numbers.below(900), numbers.below(10_000));
        for _ in 0..100 + numbers.below(200) {
            let (mass, intensity) = (numbers.below(20_000_000), numbers.below(1_000_000));
            *text += &format!("{}.{:04} {}.{}\n", mass / 10_000, mass % 10_000, intensity / 10, intensity % 10);
        }
        text.push_str("END IONS\n\n");
    })
}

/// Proteins of 100 to 600 residues.
pub fn proteins(path: &Path, bytes: u64) -> Result<u64> {
    let mut number = 0;
    fill(path, bytes, "", move |numbers, text| {
        number += 1;
        *text += &format!(">sp|P{number:06}|PROT_{number} a protein\n");
        for _ in 0..2 + numbers.below(8) {
            letters(text, 60, b"ACDEFGHIKLMNPQRSTVWY", numbers);
            text.push('\n');
        }
    })
}

/// A table in which a field of every row stands between quotes, with separators, quotes and line ends in it.
pub fn quoted_table(path: &Path, bytes: u64) -> Result<u64> {
    let mut number = 0;
    fill(path, bytes, "id,name,note,value\n", move |numbers, text| {
        number += 1;
        *text += &format!("{number},sample {},\"a note, said \"\"so\"\"\nwith a line more ", numbers.below(1000));
        letters(text, 20 + numbers.below(60), b"abcdefghijklmnopqrstuvwxyz     ", numbers);
        *text += &format!("\",{}.{:03}\n", numbers.below(1000), numbers.below(1000));
    })
}

fn letters(text: &mut String, count: u64, of: &[u8], numbers: &mut Numbers) {
    for _ in 0..count {
        text.push(char::from(of[numbers.below(of.len() as u64) as usize]));
    }
}

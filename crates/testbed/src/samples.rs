//! Files for tests: small real ones of the usual kinds, and bytes of any length.

use std::io::Cursor;

use anyhow::Result;
use base64::{Engine, engine::general_purpose::STANDARD};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use sha2::{Digest, Sha256};

/// A file: its name, its type, its bytes.
#[derive(Debug, Clone)]
pub struct Sample {
    /// E.g. `picture.png`.
    pub name: String,
    /// E.g. `image/png`.
    pub content_type: String,
    /// The whole file.
    pub bytes: Vec<u8>,
}

impl Sample {
    fn new(name: &str, content_type: &str, bytes: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            content_type: content_type.to_owned(),
            bytes,
        }
    }

    /// The same file under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The same file under another type.
    #[must_use]
    pub fn declared(mut self, content_type: &str) -> Self {
        content_type.clone_into(&mut self.content_type);
        self
    }

    /// `data:image/png;base64,…`.
    pub fn data_uri(&self) -> String {
        let bytes = STANDARD.encode(&self.bytes);
        format!("data:{};base64,{bytes}", self.content_type)
    }

    /// Its SHA-256, in hexadecimal.
    pub fn sha256(&self) -> String {
        sha256(&self.bytes)
    }

    /// A colourful PNG; another seed gives another picture.
    ///
    /// # Errors
    /// When it cannot be written: never with sizes that make sense.
    pub fn png(seed: u64, width: u32, height: u32) -> Result<Self> {
        let bytes = picture(seed, width, height, ImageFormat::Png)?;
        Ok(Self::new("picture.png", "image/png", bytes))
    }

    /// The same as a JPEG.
    ///
    /// # Errors
    /// As [`Sample::png`].
    pub fn jpeg(seed: u64, width: u32, height: u32) -> Result<Self> {
        let bytes = picture(seed, width, height, ImageFormat::Jpeg)?;
        Ok(Self::new("photo.jpg", "image/jpeg", bytes))
    }

    /// The same as a GIF of one frame.
    ///
    /// # Errors
    /// As [`Sample::png`].
    pub fn gif(seed: u64, width: u32, height: u32) -> Result<Self> {
        let bytes = picture(seed, width, height, ImageFormat::Gif)?;
        Ok(Self::new("moving.gif", "image/gif", bytes))
    }

    /// A WAV of 8 kHz, 8 bit, mono: a second of noise.
    pub fn wav(seed: u64) -> Self {
        const RATE: u32 = 8000;
        let mut bytes = b"RIFF".to_vec();
        bytes.extend_from_slice(&(36 + RATE).to_le_bytes());
        bytes.extend_from_slice(b"WAVEfmt ");
        bytes.extend_from_slice(&16_u32.to_le_bytes());
        for half in [1_u16, 1] {
            bytes.extend_from_slice(&half.to_le_bytes());
        }
        bytes.extend_from_slice(&RATE.to_le_bytes());
        bytes.extend_from_slice(&RATE.to_le_bytes());
        for half in [1_u16, 8] {
            bytes.extend_from_slice(&half.to_le_bytes());
        }
        bytes.extend_from_slice(b"data");
        bytes.extend_from_slice(&RATE.to_le_bytes());
        bytes.extend(noise(seed, RATE as usize));
        Self::new("sound.wav", "audio/wav", bytes)
    }

    /// A page without anything on it.
    pub fn pdf() -> Self {
        let bytes = b"%PDF-1.4\n\
            1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n\
            2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n\
            3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 72]>>endobj\n\
            trailer<</Root 1 0 R>>\n%%EOF\n";
        Self::new("paper.pdf", "application/pdf", bytes.to_vec())
    }

    /// What begins like an MP4: no player shows it, every sniffer takes it for one.
    pub fn mp4(seed: u64) -> Self {
        let mut bytes = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec();
        let content = noise(seed, 2000);
        bytes.extend_from_slice(&(content.len() as u32 + 8).to_be_bytes());
        bytes.extend_from_slice(b"mdat");
        bytes.extend(content);
        Self::new("film.mp4", "video/mp4", bytes)
    }

    /// What begins like an Ogg with Opus in it, as voice messages are.
    pub fn ogg(seed: u64) -> Self {
        let mut bytes = b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\x13".to_vec();
        bytes.extend_from_slice(b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0");
        bytes.extend(noise(seed, 500));
        Self::new("voice.ogg", "audio/ogg", bytes)
    }

    /// A text.
    pub fn text(content: &str) -> Self {
        Self::new("note.txt", "text/plain", content.as_bytes().to_vec())
    }

    /// So many bytes without a pattern; the same for the same seed.
    pub fn random(seed: u64, length: usize) -> Self {
        Self::new("data.bin", "application/octet-stream", noise(seed, length))
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Bytes without a pattern; the same for the same seed (xorshift).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn picture(seed: u64, width: u32, height: u32, format: ImageFormat) -> Result<Vec<u8>> {
    let colours = noise(seed, 3);
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let mix = |at: usize, value: u32| colours[at].wrapping_add((value % 256) as u8);
        Rgb([mix(0, x), mix(1, y), mix(2, x + y)])
    });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture).write_to(&mut bytes, format)?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_repeat_and_differ_by_seed() -> Result<()> {
        let png = Sample::png(1, 20, 10)?;
        assert_eq!(png.sha256(), Sample::png(1, 20, 10)?.sha256());
        assert_ne!(png.sha256(), Sample::png(2, 20, 10)?.sha256());
        let read = image::load_from_memory(&png.bytes)?;
        assert_eq!((read.width(), read.height()), (20, 10));
        for sample in [Sample::jpeg(1, 8, 8)?, Sample::gif(1, 8, 8)?] {
            assert_eq!(image::load_from_memory(&sample.bytes)?.width(), 8);
        }
        assert_eq!(Sample::random(3, 12_345).bytes.len(), 12_345);
        assert_eq!(Sample::wav(1).bytes.len(), 44 + 8000);
        Ok(())
    }
}

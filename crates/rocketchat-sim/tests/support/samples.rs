//! Files to upload.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::io::Cursor;

use flate2::Crc;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use sha2::{Digest, Sha256};

/// Bytes without a pattern that are the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
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

fn gradient(width: u32, height: u32) -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x % 256) as u8, (y % 256) as u8, ((x + y) % 256) as u8])
    }))
}

fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    gradient(width, height)
        .write_to(&mut bytes, format)
        .unwrap();
    bytes.into_inner()
}

pub fn png(width: u32, height: u32) -> Vec<u8> {
    encoded(width, height, ImageFormat::Png)
}

pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    encoded(width, height, ImageFormat::Jpeg)
}

pub fn gif(width: u32, height: u32) -> Vec<u8> {
    encoded(width, height, ImageFormat::Gif)
}

pub fn webp(width: u32, height: u32) -> Vec<u8> {
    encoded(width, height, ImageFormat::WebP)
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn plain(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(RgbImage::from_pixel(width, height, Rgb([9, 99, 199])))
        .write_to(&mut bytes, format)
        .unwrap();
    bytes.into_inner()
}

/// A PNG with a chunk that nobody knows.
fn padded_png(width: u32, height: u32, length: usize) -> Vec<u8> {
    let mut bytes = plain(width, height, ImageFormat::Png);
    let mut chunk = b"paDd".to_vec();
    chunk.resize(length - bytes.len() - 8, b'.');
    let mut sum = Crc::new();
    sum.update(&chunk);
    let mut whole = (chunk.len() as u32 - 4).to_be_bytes().to_vec();
    whole.extend(chunk);
    whole.extend(sum.sum().to_be_bytes());
    let end = bytes.len() - 12;
    bytes.splice(end..end, whole);
    bytes
}

/// A JPEG with comments, and with so many bytes from a camera.
fn padded_jpeg(width: u32, height: u32, length: usize, exif: usize) -> Vec<u8> {
    let mut bytes = plain(width, height, ImageFormat::Jpeg);
    let mut headers = Vec::new();
    let mut segment = |marker: u8, start: &[u8], whole: usize| {
        headers.extend([0xFF, marker]);
        headers.extend((whole as u16 - 2).to_be_bytes());
        headers.extend(start);
        headers.extend(vec![0; whole - 4 - start.len()]);
    };
    if exif > 0 {
        segment(0xE1, b"Exif\0\0", exif);
    }
    let mut left = length - bytes.len() - exif;
    while left > 0 {
        let whole = if left > 60_000 { 50_000 } else { left };
        segment(0xFE, b"", whole);
        left -= whole;
    }
    bytes.splice(2..2, headers);
    bytes
}

/// A small GIF of one colour. Its table of codes is begun anew before it could grow.
fn small_gif(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = b"GIF89a".to_vec();
    let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
    bytes.extend(&size);
    bytes.extend([0x80, 0, 0, 9, 99, 199, 255, 255, 255]);
    bytes.extend([0x2C, 0, 0, 0, 0]);
    bytes.extend(&size);
    bytes.extend([0, 2]);
    let mut codes = Vec::new();
    for pixel in 0..u32::from(width) * u32::from(height) {
        if pixel % 2 == 0 {
            codes.push(4_u8);
        }
        codes.push(0);
    }
    codes.push(5);
    let mut bits = vec![0_u8; (codes.len() * 3).div_ceil(8)];
    for (at, code) in codes.iter().enumerate() {
        for bit in (0..3).filter(|bit| code >> bit & 1 == 1) {
            let place = at * 3 + bit;
            bits[place / 8] |= 1 << (place % 8);
        }
    }
    for block in bits.chunks(255) {
        bytes.push(block.len() as u8);
        bytes.extend(block);
    }
    bytes.extend([0, 0x3B]);
    bytes
}

/// A GIF with a comment.
fn padded_gif(width: u16, height: u16, length: usize) -> Vec<u8> {
    let mut bytes = small_gif(width, height);
    let end = bytes.len() - 1;
    let mut left = length - bytes.len() - 3;
    let mut comment = vec![0x21, 0xFE];
    while left > 0 {
        // Never one byte alone: it would be a length without anything.
        let block = match left {
            257 => 200,
            left => left.min(256),
        };
        comment.push((block - 1) as u8);
        comment.extend(vec![b'.'; block - 1]);
        left -= block;
    }
    comment.push(0);
    bytes.splice(end..end, comment);
    bytes
}

/// A WebP with something behind the picture.
fn padded_webp(width: u32, height: u32, length: usize) -> Vec<u8> {
    let mut bytes = plain(width, height, ImageFormat::WebP);
    let pad = length - bytes.len() - 8;
    bytes.extend(b"PADD");
    bytes.extend((pad as u32).to_le_bytes());
    bytes.extend(vec![0; pad]);
    let size = (bytes.len() as u32 - 8).to_le_bytes();
    bytes.splice(4..8, size);
    bytes
}

/// A file of the kind and length of one in the recordings, which do not hold the bytes.
pub fn like(sha256: &str, length: usize) -> Vec<u8> {
    match &sha256[..8] {
        "989e2594" => padded_png(800, 600, length),
        "02e0e9af" => padded_png(60, 40, length),
        "e74a221d" => padded_png(64, 64, length),
        "0cfa46c9" => padded_png(128, 128, length),
        "3be7336b" => padded_jpeg(1000, 750, length, 216),
        "a56ca872" => padded_jpeg(100, 100, length, 0),
        "3040145b" => padded_gif(40, 30, length),
        "7f2636ce" => padded_webp(300, 200, length),
        "465919a2" | "900fbe93" => {
            let mut drawing = b"<svg xmlns='http://www.w3.org/2000/svg'>".to_vec();
            drawing.resize(length, b' ');
            drawing
        }
        _ => vec![b'x'; length],
    }
}

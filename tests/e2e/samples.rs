//! Files to send: of every kind, each different from all others.

/// A picture of this size that any reader takes, in a colour of its own.
pub fn png(width: u32, height: u32, seed: u8) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    chunk(&mut file, b"IHDR", &header);
    let mut rows = Vec::new();
    for row in 0..height {
        rows.push(0);
        for column in 0..width {
            let shade = u8::try_from((row + column) % 256).unwrap_or_default();
            rows.extend([seed, shade, seed.wrapping_mul(7)]);
        }
    }
    chunk(&mut file, b"IDAT", &stored(&rows));
    chunk(&mut file, b"IEND", &[]);
    file
}

/// So many bytes that repeat nowhere soon, after this beginning.
pub fn bytes(head: &[u8], length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut file = head.to_vec();
    while file.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.extend(state.to_le_bytes());
    }
    file.truncate(length.max(head.len()));
    file
}

/// One second of a tone.
pub fn wav(seed: u64) -> Vec<u8> {
    let data = bytes(&[], 8000, seed);
    let mut file = b"RIFF".to_vec();
    file.extend((36 + 8000_u32).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1, 0, 1, 0]);
    file.extend(8000_u32.to_le_bytes());
    file.extend(8000_u32.to_le_bytes());
    file.extend([1, 0, 8, 0]);
    file.extend(b"data");
    file.extend(8000_u32.to_le_bytes());
    file.extend(data);
    file
}

/// A voice message, by its beginning.
pub fn ogg(seed: u64) -> Vec<u8> {
    let head = [
        b"OggS\x00\x02".as_slice(),
        &[0; 20],
        b"\x01\x13OpusHead\x01\x01\x00\x00\x80\xbb\x00\x00\x00\x00\x00",
    ];
    bytes(&head.concat(), 4000, seed)
}

/// A film, by its beginning.
pub fn mp4(seed: u64) -> Vec<u8> {
    bytes(
        b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41",
        9000,
        seed,
    )
}

/// A document, by its beginning.
pub fn pdf(seed: u64) -> Vec<u8> {
    bytes(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", 5000, seed)
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    file.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
    file.extend(kind);
    file.extend(data);
    let mut crc = u32::MAX;
    for byte in kind.iter().chain(data) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1 != 0;
            crc >>= 1;
            if carry {
                crc ^= 0xedb8_8320;
            }
        }
    }
    file.extend((!crc).to_be_bytes());
}

/// zlib without compression.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = data.chunks(65_535).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap();
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend(((b << 16) | a).to_be_bytes());
    out
}

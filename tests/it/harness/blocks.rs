//! The blocks of an index file, as `src/storage/index/blocks.rs` draws them. Tests use them for
//! damage that the checks of blocks cannot see, so that only the checks of rows find it.

const BLOCK_BYTES: usize = 4_096;
/// The number of blocks whose checks share a block.
const GROUP_BLOCKS: usize = 1_022;
const MAGIC_BYTES: usize = 8;
const HEADER_BYTES: usize = 508;

/// The offsets of the written blocks, but for the header.
pub(crate) fn written(file: &[u8]) -> Vec<usize> {
    let blocks = (1..).map(|block| (offset_of(block), offset_of_check(block)));
    let blocks = blocks.take_while(|(offset, _)| offset + BLOCK_BYTES <= file.len());
    blocks.filter(|&(_, check)| file[check..][..4] != [0; 4]).map(|(offset, _)| offset).collect()
}

/// Recomputes the checks of all written blocks.
pub(crate) fn reseal(file: &mut [u8]) {
    let header = check_of(0, &file[offset_of(0)..][..HEADER_BYTES]);
    file[offset_of(0) + HEADER_BYTES..][..4].copy_from_slice(&header);
    let bytes = file.len();
    for block in (1..).take_while(|&block| offset_of(block) + BLOCK_BYTES <= bytes) {
        let at = offset_of_check(block);
        if file[at..][..4] != [0; 4] {
            let check = check_of(block, &file[offset_of(block)..][..BLOCK_BYTES]);
            file[at..][..4].copy_from_slice(&check);
        }
    }
}

fn offset_of(block: usize) -> usize {
    (block + block / GROUP_BLOCKS + 1) * BLOCK_BYTES
}

fn offset_of_check(block: usize) -> usize {
    let group = block / GROUP_BLOCKS * (GROUP_BLOCKS + 1) * BLOCK_BYTES;
    group + MAGIC_BYTES + block % GROUP_BLOCKS * 4
}

fn check_of(block: usize, data: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(block as u64).to_le_bytes());
    hasher.update(data);
    hasher.finalize().max(1).to_le_bytes()
}

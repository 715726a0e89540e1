//! The blocks of an index's file, as `src/log/index/blocks.rs` draws them: for damage that their
//! checks cannot see, so that the checks of the rows have to.

const BLOCK_BYTES: usize = 4_096;
/// Blocks whose checks are together.
const GROUP_BLOCKS: usize = 1_022;
const MAGIC_BYTES: usize = 8;
const HEADER_BYTES: usize = 508;

/// Where the blocks are that were written, but for the header.
pub(crate) fn written(file: &[u8]) -> Vec<usize> {
    let blocks = (1..).map(|block| (place_of(block), place_of_check(block)));
    let blocks = blocks.take_while(|(place, _)| place + BLOCK_BYTES <= file.len());
    blocks.filter(|&(_, check)| file[check..][..4] != [0; 4]).map(|(place, _)| place).collect()
}

/// Makes the checks those of what is in the blocks now.
pub(crate) fn reseal(file: &mut [u8]) {
    let header = check_of(0, &file[place_of(0)..][..HEADER_BYTES]);
    file[place_of(0) + HEADER_BYTES..][..4].copy_from_slice(&header);
    let bytes = file.len();
    for block in (1..).take_while(|&block| place_of(block) + BLOCK_BYTES <= bytes) {
        let at = place_of_check(block);
        if file[at..][..4] != [0; 4] {
            let check = check_of(block, &file[place_of(block)..][..BLOCK_BYTES]);
            file[at..][..4].copy_from_slice(&check);
        }
    }
}

fn place_of(block: usize) -> usize {
    (block + block / GROUP_BLOCKS + 1) * BLOCK_BYTES
}

fn place_of_check(block: usize) -> usize {
    let group = block / GROUP_BLOCKS * (GROUP_BLOCKS + 1) * BLOCK_BYTES;
    group + MAGIC_BYTES + block % GROUP_BLOCKS * 4
}

fn check_of(block: usize, data: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(block as u64).to_le_bytes());
    hasher.update(data);
    hasher.finalize().max(1).to_le_bytes()
}

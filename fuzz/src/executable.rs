//! ELF files, as the host on bare x86_64 loads them.

use boot::memory::elf::Executable;

/// The bytes are the file.
pub fn executable(data: &[u8]) {
    let Ok(executable) = Executable::parse(data) else { return };
    let mut behind = 0;
    let mut entered = false;
    for segment in &executable.segments {
        assert!(segment.first_page() >= behind, "two segments share a page");
        assert!(!(segment.write && segment.execute), "a segment is writable and executable");
        assert!(segment.offset.checked_add(segment.file_length).is_some_and(|end| end <= data.len() as u64));
        behind = segment.end_page();
        let inside = segment.address..segment.address + segment.length;
        entered |= segment.execute && inside.contains(&executable.entry);
    }
    assert!(entered, "it begins where nothing is to be executed");
    assert!(executable.pages() < 1 << 40);
}

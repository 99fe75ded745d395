//! Regions: pages that processes read and write by copy. A page that nobody wrote has
//! no memory behind it.

use abi::PAGE_SIZE;
use kernel::RegionId;
use std::collections::HashMap;

#[derive(Default)]
struct Region {
    bytes: u64,
    pages: HashMap<u64, Box<[u8; PAGE_SIZE]>>,
}

/// All regions.
#[derive(Default)]
pub struct Regions(HashMap<u32, Region>);

impl Regions {
    /// A region of so many zeroed pages.
    pub fn create(&mut self, region: RegionId, pages: u64) {
        self.0.insert(region.0, Region { bytes: pages.saturating_mul(PAGE_SIZE as u64), pages: HashMap::new() });
    }

    /// It is gone.
    pub fn remove(&mut self, region: RegionId) {
        self.0.remove(&region.0);
    }

    /// A copy of a part; `None` where it is outside.
    pub fn read(&self, region: RegionId, offset: u64, length: u64) -> Option<Vec<u8>> {
        let region = self.0.get(&region.0)?;
        if offset.checked_add(length)? > region.bytes {
            return None;
        }
        let mut out = vec![0; usize::try_from(length).ok()?];
        for_each_page(offset, out.len(), |page, within, part| {
            if let Some(page) = region.pages.get(&page) {
                let length = part.len();
                out[part].copy_from_slice(&page[within..within + length]);
            }
        });
        Some(out)
    }

    /// Writes a part; `None` where it is outside, and nothing is written then.
    pub fn write(&mut self, region: RegionId, offset: u64, bytes: &[u8]) -> Option<()> {
        let region = self.0.get_mut(&region.0)?;
        if offset.checked_add(bytes.len() as u64)? > region.bytes {
            return None;
        }
        for_each_page(offset, bytes.len(), |page, within, part| {
            let page = region.pages.entry(page).or_insert_with(|| Box::new([0; PAGE_SIZE]));
            page[within..within + part.len()].copy_from_slice(&bytes[part]);
        });
        Some(())
    }
}

/// The pages of a range: number, where in the page, which part of the range.
fn for_each_page(offset: u64, length: usize, mut f: impl FnMut(u64, usize, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < length {
        let at = offset + done as u64;
        let within = (at % PAGE_SIZE as u64) as usize;
        let count = (PAGE_SIZE - within).min(length - done);
        f(at / PAGE_SIZE as u64, within, done..done + count);
        done += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_across_pages_and_the_rest_is_zero() {
        let mut regions = Regions::default();
        let region = RegionId(3);
        regions.create(region, 3);
        let bytes: Vec<u8> = (0..6000u32).map(|i| i as u8 | 1).collect();
        regions.write(region, 3000, &bytes).unwrap();
        assert_eq!(regions.read(region, 3000, 6000).unwrap(), bytes);
        assert_eq!(regions.read(region, 0, 3000).unwrap(), vec![0; 3000]);
        assert_eq!(regions.read(region, 9000, 3288).unwrap(), vec![0; 3288]);
    }

    #[test]
    fn nothing_outside_is_read_or_written() {
        let mut regions = Regions::default();
        let region = RegionId(0);
        regions.create(region, 1);
        assert_eq!(regions.read(region, 1, 4096), None);
        assert_eq!(regions.read(region, u64::MAX, 2), None);
        assert_eq!(regions.write(region, 4095, &[1, 2]), None);
        assert_eq!(regions.read(region, 4095, 1).unwrap(), [0], "a write that is refused writes nothing");
        regions.remove(region);
        assert_eq!(regions.read(region, 0, 1), None);
    }
}

//! A state is read back from its bytes as it was, and goes on as it would have; other
//! bytes are refused, whatever they are.

use super::machine::{EVERYTHING, Machine};
use super::runs::{Run, steps};
use crate::arena::Arena;
use crate::encoding::{Decode, Encode};
use crate::ids::CapabilityId;
use crate::snapshot::NoState;
use crate::table::Table;
use crate::{Kernel, Platform};
use alloc::vec::Vec;
use proptest::prelude::*;

fn halves(kernel: &Kernel) -> [Vec<u8>; 2] {
    let (mut authority, mut activity) = (Vec::new(), Vec::new());
    kernel.hash_authority(&mut |part| authority.extend_from_slice(part));
    kernel.hash_activity(&mut |part| activity.extend_from_slice(part));
    [authority, activity]
}

/// Read back, if it can be: then it is written again as the same bytes.
fn read(platform: Platform, [authority, activity]: &[Vec<u8>; 2]) -> Result<Kernel, NoState> {
    let read = Kernel::from_state(platform, authority, activity)?;
    assert!(
        halves(&read) == [authority.clone(), activity.clone()],
        "a state is written as other bytes than it is read from"
    );
    Ok(read)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_state_that_was_read_back_is_written_the_same_and_goes_on_the_same(steps in steps(), at in 0usize..400) {
        let mut run = Run::new(EVERYTHING);
        let (before, after) = steps.split_at(at % steps.len());
        before.iter().for_each(|&step| run.step(step));
        let mut resumed = read(EVERYTHING, &halves(&run.machine.kernel)).map_err(|error| TestCaseError::fail(alloc::format!("{error}")))?;
        let begun = run.machine.log.len();
        after.iter().for_each(|&step| run.step(step));
        for commit in &run.machine.log[begun..] {
            resumed.apply(commit);
        }
        prop_assert!(halves(&resumed) == halves(&run.machine.kernel), "it goes on to another state");
    }

    #[test]
    fn bytes_that_are_no_state_are_refused(steps in steps(), edits in proptest::collection::vec((any::<u16>(), any::<u8>(), 0u8..4), 1..4)) {
        let mut run = Run::new(EVERYTHING);
        steps.iter().for_each(|&step| run.step(step));
        let mut state = halves(&run.machine.kernel);
        for (at, value, how) in edits {
            let half = &mut state[usize::from(how % 2)];
            let at = usize::from(at) % half.len();
            match how / 2 {
                0 => half[at] ^= value.max(1),
                _ if value % 2 == 0 => half.truncate(at),
                _ => half.insert(at, value),
            }
        }
        // What is read is sound, and written again as the bytes that it was read from.
        let _ = read(EVERYTHING, &state);
    }
}

#[test]
fn what_is_wrong_with_a_state_is_told_and_where() {
    let machine = Machine::new();
    let [authority, activity] = halves(&machine.kernel);
    let refused = |authority: &[u8], activity: &[u8]| {
        alloc::format!("{}", Kernel::from_state(Platform::NATIVE, authority, activity).err().expect("it is refused"))
    };
    let cut = refused(&authority, &activity[..activity.len() - 1]);
    assert_eq!(cut, alloc::format!("activity, at byte {}: its clock cannot be read", activity.len() - 1));
    let mut longer = authority.clone();
    longer.push(0);
    assert_eq!(
        refused(&longer, &activity),
        alloc::format!("authority, at byte {}: its end cannot be read", authority.len())
    );
    assert_eq!(refused(&[], &activity), "authority, at byte 0: its processes cannot be read");
    // So many records are claimed as no memory has.
    assert_eq!(
        refused(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xF], &activity),
        "authority, at byte 6: its processes cannot be read"
    );
    let other = halves(&Kernel::new(Platform::NATIVE));
    assert_eq!(
        refused(&authority, &other[1]),
        "a state that cannot be: K0: records run beside others and are not as many"
    );
    let mut rich = activity.clone();
    // Whoever runs is another: the last three numbers are who runs, who is about to receive, and the time.
    let at = rich.len() - 3;
    assert_eq!(rich[at], 1, "thread 0 runs");
    rich[at] = 0;
    assert!(refused(&authority, &rich).starts_with("a state that cannot be: K"), "{}", refused(&authority, &rich));
}

/// Given lists of free numbers that leave one out, name one twice or go round, when they are looked at, then they are
/// not sound: a change would follow them.
#[test]
fn lists_of_free_numbers_are_looked_at() {
    const END: u32 = u32::MAX;
    let arena = |first: u32, cells: &[Option<u32>]| {
        let mut bytes = heapless::Vec::<u8, 64>::new();
        first.put(&mut bytes);
        (cells.len() as u64).put(&mut bytes);
        for cell in cells {
            cell.is_none().put(&mut bytes);
            cell.unwrap_or(7).put(&mut bytes);
        }
        <Arena<u32> as Decode>::get(&mut &bytes[..]).expect("it is read").is_sound()
    };
    assert!(arena(END, &[]) && arena(END, &[None]) && arena(2, &[Some(END), None, Some(0)]));
    assert!(!arena(END, &[Some(END)]), "one is left out");
    assert!(!arena(0, &[Some(0)]), "a ring");
    assert!(!arena(0, &[Some(1), Some(0)]), "a ring of two");
    assert!(!arena(1, &[Some(END), None]), "one that is used");
    assert!(!arena(0, &[Some(5)]), "one that there is not");
    let table = |first: u32, last: u32, used: u32, slots: &[(u32, u32)]| {
        let mut bytes = heapless::Vec::<u8, 64>::new();
        (slots.len() as u64).put(&mut bytes);
        for &(generation, capability) in slots {
            generation.put(&mut bytes);
            CapabilityId(capability).put(&mut bytes);
        }
        first.put(&mut bytes);
        last.put(&mut bytes);
        used.put(&mut bytes);
        <Table as Decode>::get(&mut &bytes[..]).expect("it is read").is_sound()
    };
    const FREE: u32 = 1 << 31;
    const LAST: u32 = FREE - 1;
    assert!(table(LAST, LAST, 1, &[(1, 3)]) && table(1, 0, 0, &[(2, FREE | LAST), (2, FREE)]));
    assert!(table(LAST, LAST, 0, &[(0, FREE | LAST)]), "one that is spent is in no line");
    assert!(!table(LAST, LAST, 0, &[(1, FREE | LAST)]), "one is left out");
    assert!(!table(0, 0, 0, &[(1, FREE)]), "a ring");
    assert!(!table(0, 1, 0, &[(1, FREE | LAST), (1, FREE | LAST)]), "the last is another");
}

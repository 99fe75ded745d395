//! The rules of nested hand-off (host-wasm/src/machine/door.rs), and that whoever goes, at
//! whatever point of a call, leaves no one waiting.

use super::stage::{play, play_on_both_paths};

#[test]
fn calls_are_answered_by_a_server_of_three_clients() {
    play_on_both_paths(&["calls"]);
}

/// A server at each point of a call, going in each manner.
fn a_server_goes(point: &str) {
    for manner in ["traps", "exits", "waits", "loops"] {
        play_on_both_paths(&["point", point, manner]);
    }
}

#[test]
fn a_server_that_goes_before_it_receives_leaves_no_one_waiting() {
    a_server_goes("before");
}

#[test]
fn a_server_that_goes_while_it_serves_leaves_no_one_waiting() {
    // Rule (g): its trap is a fault input, the client gets PeerGone.
    a_server_goes("served");
}

#[test]
fn a_server_that_goes_after_its_reply_leaves_no_one_waiting() {
    a_server_goes("replied");
}

#[test]
fn a_server_that_goes_while_it_holds_a_reply_leaves_no_one_waiting() {
    a_server_goes("held");
}

#[test]
fn a_client_that_goes_while_its_call_is_queued_leaves_nothing_behind() {
    play_on_both_paths(&["client-goes", "queued"]);
}

#[test]
fn a_client_that_goes_while_it_is_served_leaves_nothing_behind() {
    play_on_both_paths(&["client-goes", "served"]);
}

#[test]
fn whoever_goes_in_a_chain_of_three_leaves_no_one_waiting() {
    for which in ["0", "1", "2"] {
        play_on_both_paths(&["chain-breaks", which, "waits"]);
    }
    for manner in ["traps", "exits", "loops"] {
        play_on_both_paths(&["chain-breaks", "2", manner]);
    }
}

#[test]
fn rule_a_what_runs_next_is_read_from_the_kernel_after_every_poll() {
    // The server answers by `reply`, not `reply_receive`: its poll ends with the client ready, or
    // with the server ready, and neither says what its future says.
    play_on_both_paths(&["point", "replies-then-receives", "stays"]);
}

#[test]
fn rule_b_a_cycle_queues_and_times_out() {
    play_on_both_paths(&["cycle"]);
}

#[test]
fn rule_c_a_caller_killed_on_the_poll_stack_is_dead_at_once_and_its_number_can_be_used_again() {
    play_on_both_paths(&["kills-its-caller"]);
}

#[test]
fn rule_d_a_server_that_blocks_or_yields_while_it_serves_answers_later() {
    play_on_both_paths(&["point", "blocks", "stays"]);
    play_on_both_paths(&["point", "yields", "stays"]);
}

#[test]
fn bytes_of_a_call_arrive_when_the_server_takes_them_at_once_late_or_after_a_call_of_its_own() {
    for manner in ["at-once", "late", "after-a-call"] {
        play_on_both_paths(&["loan", manner]);
    }
}

#[test]
fn rule_f_a_chain_deeper_than_the_nesting_goes_on_through_the_run_queue() {
    for links in ["3", "7", "8", "9", "20"] {
        play_on_both_paths(&["chain", links]);
    }
}

#[test]
fn rule_h_nothing_ticks_while_idle() {
    let played = play(&["idle"]).well();
    // 300 ms of waiting; booting and ending take some slices.
    assert!(played.ticks < 150, "{} ticks", played.ticks);
}

#[test]
fn rule_i_the_system_is_asked_for_the_time_once_a_tick_not_once_a_call() {
    // 60,000 calls. Beside the ticks the machine asks when a device has something and when nobody runs.
    let played = play(&["calls"]).well();
    assert!(played.clock_readings <= played.ticks + 500, "{} readings, {} ticks", played.clock_readings, played.ticks);
}

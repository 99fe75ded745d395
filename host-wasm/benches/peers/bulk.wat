;; As pair.wat, with bytes: `client` sends 64 KiB there and back as often as it is told.
(module
  (import "orbital:kernel/calls@0.1.0" "call-with"
    (func $call (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i32 i32 i32 i32 i32)))
  (import "orbital:kernel/calls@0.1.0" "reply-receive-with"
    (func $reply_receive (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i32 i32 i32 i32 i32)))
  (import "orbital:kernel/calls@0.1.0" "take-bytes" (func $take_bytes (param i32)))
  ;; 64 KiB of records, 64 KiB that go out, 64 KiB that come in.
  (memory (export "memory") 3)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 131072)
  (func (export "client") (param $rounds i64)
    (block $done
      (loop $again
        (br_if $done (i64.eqz (local.get $rounds)))
        (call $call (i64.const 1) (i64.const -1) (i64.const 7)
          (i64.const 0) (i64.const 1) (i64.const 2) (i64.const 3)
          (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7)
          (i32.const 65536) (i32.const 65536) (i32.const 0) (i32.const 0) (i32.const 16))
        (call $take_bytes (i32.const 128))
        (if (i32.ne (i32.load (i32.const 132)) (i32.const 65536)) (then unreachable))
        (local.set $rounds (i64.sub (local.get $rounds) (i64.const 1)))
        (br $again))))
  (func (export "run")
    (loop $again
      (call $reply_receive (i64.const 1) (i64.load (i32.const 48)) (i64.const -1) (i64.const 0)
        (i64.const 0) (i64.const 1) (i64.const 2) (i64.const 3)
        (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7)
        (i32.load (i32.const 128)) (i32.load (i32.const 132)) (i32.const 0) (i32.const 0) (i32.const 16))
      (call $take_bytes (i32.const 128))
      (br $again))))

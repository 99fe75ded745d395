;; Two sides of a call with the kernel calls' own signatures: `client` calls as often as
;; it is told, `run` answers every call with its words.
(module
  (import "orbital:kernel/calls@0.1.0" "call"
    (func $call (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i32)))
  (import "orbital:kernel/calls@0.1.0" "reply-receive"
    (func $reply_receive (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i32)))
  (memory (export "memory") 1)
  ;; The delivery lies at 16: result, then kind and length, badge, tag, reply, words from 56.
  (func (export "client") (param $rounds i64)
    (local $round i64)
    (block $done
      (loop $again
        (br_if $done (i64.ge_u (local.get $round) (local.get $rounds)))
        (call $call (i64.const 1) (i64.const -1) (i64.const 7)
          (local.get $round) (i64.const 1) (i64.const 2) (i64.const 3)
          (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7) (i32.const 16))
        (if (i64.ne (i64.load (i32.const 56)) (local.get $round)) (then unreachable))
        (local.set $round (i64.add (local.get $round) (i64.const 1)))
        (br $again))))
  (func (export "run")
    (loop $again
      (call $reply_receive (i64.const 1) (i64.load (i32.const 48)) (i64.const -1) (i64.const 0)
        (i64.load (i32.const 56)) (i64.load (i32.const 64)) (i64.load (i32.const 72)) (i64.load (i32.const 80))
        (i64.load (i32.const 88)) (i64.load (i32.const 96)) (i64.load (i32.const 104)) (i64.load (i32.const 112))
        (i32.const 16))
      (br $again))))

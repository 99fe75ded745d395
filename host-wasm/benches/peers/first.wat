;; A process whose first instruction is a message to whoever holds the other end of the
;; endpoint in its first slot; then it ends.
(module
  (import "orbital:kernel/calls@0.1.0" "send"
    (func $send (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "run")
    i64.const 4294967296 i64.const 0 i64.const 1
    i64.const 0 i64.const 0 i64.const 0 i64.const 0 i64.const 0 i64.const 0 i64.const 0 i64.const 0
    i32.const 16
    call $send))

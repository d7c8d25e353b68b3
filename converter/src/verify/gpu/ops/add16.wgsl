// A quad of the sum of two values in 16 bits; numbers of 8 bits count 256 times.

struct Op {
    pixels: u32,
    a: Place,
    b: Place,
    y: Place,
    multiplier_a: i32,
    multiplier_b: i32,
    bias: i32,
    shift: u32,
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let q = quad_of(thread, op.y, op.pixels);
    if !q.exists {
        return;
    }
    let a = load(op.a, address(op.a, q.example, q.pixel), q.quad) << vec4<u32>(select(8u, 0u, op.a.wide == 1u));
    let b = load(op.b, address(op.b, q.example, q.pixel), q.quad);
    let sum = a * op.multiplier_a + b * op.multiplier_b + vec4<i32>(op.bias);
    store(op.y, address(op.y, q.example, q.pixel), q.quad, saturate_to(op.y, sum >> vec4<u32>(op.shift)));
}

// A quad of the sum of two values, the first possibly repeated.

struct Op {
    pixels: u32,
    a: Place,
    b: Place,
    y: Place,
    single: u32, // 1 if `a` is one number for all
    multiplier_a: i32,
    multiplier_b: i32,
    bias: i32,
    shift: u32,
    lo: i32,
    hi: i32,
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let q = quad_of(thread, op.y, op.pixels);
    if !q.exists {
        return;
    }
    let a = load_repeated(op.a, q, op.single);
    let b = load(op.b, address(op.b, q.example, q.pixel), q.quad);
    let sum = a * op.multiplier_a + b * op.multiplier_b + vec4<i32>(op.bias);
    let v = clamp(sum >> vec4<u32>(op.shift), vec4<i32>(op.lo), vec4<i32>(op.hi));
    store(op.y, address(op.y, q.example, q.pixel), q.quad, v);
}

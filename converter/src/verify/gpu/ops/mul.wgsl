// A quad of the product of two values, the first possibly repeated.

struct Op {
    pixels: u32,
    a: Place,
    b: Place,
    y: Place,
    single: u32, // 1 if `a` is one number for all
    zero_a: i32,
    zero_b: i32,
    multiplier: i32,
    shift: u32,
    range: Range,
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let q = quad_of(thread, op.y, op.pixels);
    if !q.exists {
        return;
    }
    let a = load_repeated(op.a, q, op.single);
    let b = load(op.b, address(op.b, q.example, q.pixel), q.quad);
    let acc = (a - vec4<i32>(op.zero_a)) * (b - vec4<i32>(op.zero_b));
    store(op.y, address(op.y, q.example, q.pixel), q.quad, requantize(op.range, acc, op.multiplier, op.shift));
}

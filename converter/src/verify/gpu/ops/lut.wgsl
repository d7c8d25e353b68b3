// A quad of a function's values, by its table of 256 bytes.

struct Op {
    pixels: u32,
    x: Place,
    y: Place,
    table: u32,
}

fn apply(x: i32) -> i32 {
    let i = u32(x & 255);
    return bitcast<i32>(constant(op.table + i / 4u) << (24u - 8u * (i % 4u))) >> 24u;
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let q = quad_of(thread, op.y, op.pixels);
    if !q.exists {
        return;
    }
    let x = load(op.x, address(op.x, q.example, q.pixel), q.quad);
    let v = vec4<i32>(apply(x.x), apply(x.y), apply(x.z), apply(x.w));
    store(op.y, address(op.y, q.example, q.pixel), q.quad, v);
}

// A quad from 16 to 8 bits.

struct Op {
    pixels: u32,
    x: Place,
    y: Place,
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
    let x = load(op.x, address(op.x, q.example, q.pixel), q.quad);
    store(op.y, address(op.y, q.example, q.pixel), q.quad, requantize(op.range, x, op.multiplier, op.shift));
}

// A quad of the row of a token and the row of its place, each with its multiplier.

struct Op {
    pixels: u32,
    x: Place,
    y: Place,
    vocabulary: u32,
    words: u32, // rows of quads
    positions: u32,
    word_multipliers: u32, // one for each row
    position_multipliers: u32,
    shift: u32,
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let q = quad_of(thread, op.y, op.pixels);
    if !q.exists {
        return;
    }
    let quads = op.y.pixel >> op.y.wide;
    let token = values[address(op.x, q.example, q.pixel)] & 0xffffu;
    let row = token % op.vocabulary;
    let word = unpack4xI8(constant(op.words + row * quads + q.quad));
    let position = unpack4xI8(constant(op.positions + q.pixel * quads + q.quad));
    let sum = word * bitcast<i32>(constant(op.word_multipliers + row))
        + position * bitcast<i32>(constant(op.position_multipliers + q.pixel))
        + vec4<i32>(1i << (op.shift - 1u));
    store(op.y, address(op.y, q.example, q.pixel), q.quad, saturate_to(op.y, sum >> vec4<u32>(op.shift)));
}

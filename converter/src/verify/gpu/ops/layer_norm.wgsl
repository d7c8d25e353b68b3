// A row brought to mean 0 and variance 1: exact sums in 64 bits, one root, two multiplications an element.

struct Op {
    pixels: u32,
    x: Place,
    y: Place,
    channels: u32,
    eps_low: u32,
    eps_high: u32,
    gains: u32, // for each quad a vector of gains and one of biases
    right: u32,
}

// The largest root whose square is not above `w`, which is below 2^62.
fn root_of(w: vec2<u32>) -> u32 {
    var root = 0u;
    for (var bit = 1u << 30u; bit > 0u; bit = bit >> 1u) {
        let square = product(root | bit, root | bit);
        if square.y < w.y || (square.y == w.y && square.x <= w.x) {
            root |= bit;
        }
    }
    return root;
}

// `d * factor * 2^-shift`, rounded, for a shift of 11 to 41.
fn normalized(d: i32, factor: i32, shift: u32) -> i32 {
    let exact = vec2<u32>(bitcast<u32>(d) * bitcast<u32>(factor), bitcast<u32>(high(d, factor)));
    let v = add64(exact, left64(vec2<u32>(1u, 0u), shift - 1u));
    if shift >= 32u {
        return bitcast<i32>(v.y) >> (shift - 32u);
    }
    return bitcast<i32>((v.x >> shift) | (v.y << (32u - shift)));
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let row = row_of(thread, op.y, op.pixels);
    if !row.exists {
        return;
    }
    let begin = address(op.x, row.example, row.pixel);
    let to = address(op.y, row.example, row.pixel);
    var sum = 0;
    var squares = vec2<u32>(0u);
    for (var c = 0u; c < op.channels; c++) {
        let x = channel(op.x, begin, c);
        sum += x;
        squares = add64(squares, vec2<u32>(u32(x * x), 0u));
    }
    // n * squares - sum^2 + eps
    let n = op.channels;
    var w = product(squares.x, n);
    w.y += squares.y * n;
    w = sub64(w, product(u32(abs(sum)), u32(abs(sum))));
    w = add64(w, vec2<u32>(op.eps_low, op.eps_high));
    let halvings = max(zeros64(w), 2u) / 2u - 1u;
    let root = root_of(left64(w, 2u * halvings));
    let factor = bitcast<i32>(min(divide(vec2<u32>(0u, 1u << 29u), root).x, 0x7fffffffu));
    let shift = 41u - halvings;
    let quads = op.y.pixel >> op.y.wide;
    for (var quad = 0u; quad < quads; quad++) {
        let d = i32(n) * load(op.x, begin, quad) - vec4<i32>(sum);
        let gain = bitcast<vec4<i32>>(constants[op.gains + 2u * quad]);
        let bias = bitcast<vec4<i32>>(constants[op.gains + 2u * quad + 1u]);
        let scaled = vec4<i32>(
            high(normalized(d.x, factor, shift), gain.x),
            high(normalized(d.y, factor, shift), gain.y),
            high(normalized(d.z, factor, shift), gain.z),
            high(normalized(d.w, factor, shift), gain.w),
        );
        store(op.y, to, quad, saturate_to(op.y, (scaled + bias) >> vec4<u32>(op.right)));
    }
}

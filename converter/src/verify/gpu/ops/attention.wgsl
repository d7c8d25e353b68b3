// A row of one head, or of all: the largest score, then for sixteen channels at a time weights and weighted values.

struct Op {
    pixels: u32, // rows at most
    q: Place,
    k: Place,
    v: Place,
    y: Place,
    heads: u32,
    size: u32, // channels of a head
    apart: u32, // 1 if each head is an invocation: then heads are whole quads
    score: i32,
    score_shift: u32,
    value: i32,
    value_right: u32,
    exp2: u32, // the table of powers of two
    range: Range,
}

const ONE = 1u << 14u;
// Channels that are summed together.
const CHUNK = 16u;

// The sum of the products of two rows over the channels from `first` on.
fn score_of(query: u32, key: u32, first: u32) -> i32 {
    var sum = 0;
    if op.apart == 1u {
        for (var i = first / 4u; i < (first + op.size) / 4u; i++) {
            sum += dot4I8Packed(values[query + i], values[key + i]);
        }
    } else {
        for (var c = first; c < first + op.size; c++) {
            sum += channel(op.q, query, c) * channel(op.k, key, c);
        }
    }
    return sum;
}

// The weight of a score so much below the largest of its row.
fn weight_of(distance: i32) -> u32 {
    let t = bitcast<u32>(rescale(distance, op.score, op.score_shift));
    let whole = min(t >> 8u, 16u);
    return (constant(op.exp2 + (t & 255u)) + (1u << whole)) >> (whole + 1u);
}

// Multiplier and shift of a row whose weights have this sum.
fn factor_of(sum: u32) -> vec2<u32> {
    // value * 2^24 / sum
    let quotient = divide(vec2<u32>(u32(op.value) << 24u, u32(op.value) >> 8u), max(sum, ONE));
    let bits = 64u - zeros64(quotient);
    let excess = max(bits, 31u) - 31u;
    let multiplier = select((quotient.x >> excess) | (quotient.y << (32u - excess)), quotient.x, excess == 0u);
    return vec2<u32>(multiplier, (op.value_right + 10u - excess) & 31u);
}

fn head(example: u32, row: u32, number: u32) {
    let n = rows(op.y, example);
    let first = number * op.size;
    let query = address(op.q, example, row);
    var most = -2147483647 - 1;
    for (var other = 0u; other < n; other++) {
        most = max(most, score_of(query, address(op.k, example, other), first));
    }
    let to = address(op.y, example, row);
    // Quads that hold channels of the head; another head may have some of the first and the last.
    let end = (first + op.size + 3u) / 4u;
    for (var quad = first / 4u; quad < end; quad += CHUNK / 4u) {
        var sums = array<vec4<i32>, 4>();
        var total = 0u;
        for (var other = 0u; other < n; other++) {
            let weight = weight_of(most - score_of(query, address(op.k, example, other), first));
            total += weight;
            let begin = address(op.v, example, other);
            sums[0] += i32(weight) * load(op.v, begin, quad);
            sums[1] += i32(weight) * load(op.v, begin, quad + 1u);
            sums[2] += i32(weight) * load(op.v, begin, quad + 2u);
            sums[3] += i32(weight) * load(op.v, begin, quad + 3u);
        }
        let factor = factor_of(total);
        for (var i = 0u; i < CHUNK / 4u && quad + i < end; i++) {
            let made = requantize(op.range, sums[i], bitcast<i32>(factor.x), factor.y);
            let c = vec4<u32>(4u * (quad + i)) + vec4<u32>(0u, 1u, 2u, 3u);
            let mine = c >= vec4<u32>(first) & c < vec4<u32>(first + op.size);
            store(op.y, to, quad + i, select(load(op.y, to, quad + i), made, mine));
        }
    }
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let index = item(thread);
    let parts = select(1u, op.heads, op.apart == 1u);
    let example = index / (op.pixels * parts);
    let row = index % (op.pixels * parts) / parts;
    if example >= batch.examples || row >= rows(op.y, example) {
        return;
    }
    if op.apart == 1u {
        head(example, row, index % parts);
    } else {
        for (var number = 0u; number < op.heads; number++) {
            head(example, row, number);
        }
    }
}

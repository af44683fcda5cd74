"""Random shapes, drawn from a seed with integer arithmetic and single float operations only.

`data/tests/shapes/mod.rs` draws the same ones: whoever changes one file changes the other.
"""

MASK64 = (1 << 64) - 1
KINDS = 10


class Random:
    """SplitMix64 (Steele, Lea, Flood 2014)."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK64
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
        return z ^ (z >> 31)

    def below(self, n):
        return self.next() % n

    def uniform(self):
        return (self.next() >> 11) * 2.0**-53


def points(random, count, draw_x, draw_y):
    part = []
    for _ in range(count):
        part.append(draw_x(random))
        part.append(draw_y(random))
    return part


def shape(index):
    """(height, width, parts): shape number `index`, of kind `index % KINDS`."""
    random = Random(index)
    height, width = 1 + random.below(64), 1 + random.below(64)
    kind = index % KINDS

    def anywhere(low, span):
        """Fractions in [low, low + span) times the image's side."""
        return (
            lambda r: (r.uniform() * span + low) * width,
            lambda r: (r.uniform() * span + low) * height,
        )

    if kind == 0:  # fractions within the image, concave and self-crossing
        parts = [points(random, 3 + random.below(10), *anywhere(0.0, 1.0))]
    elif kind == 1:  # across the border
        parts = [points(random, 3 + random.below(8), *anywhere(-1.0, 3.0))]
    elif kind == 2:  # tenths: ties when scaled by 5
        tenths = lambda side: lambda r: r.below(10 * side + 1) / 10.0
        parts = [points(random, 3 + random.below(8), tenths(width), tenths(height))]
    elif kind == 3:  # whole numbers up to the border
        whole = lambda side: lambda r: float(r.below(side + 1))
        parts = [points(random, 3 + random.below(8), whole(width), whole(height))]
    elif kind == 4:  # repeated points and straight lines
        few = [points(random, 1, *anywhere(-0.25, 1.5)) for _ in range(1 + random.below(3))]
        part = []
        for _ in range(3 + random.below(6)):
            part += few[random.below(len(few))]
        parts = [part]
    elif kind == 5:  # several parts, some of too few points
        parts = []
        for _ in range(1 + random.below(5)):
            parts.append(points(random, random.below(7), *anywhere(-0.125, 1.25)))
    elif kind == 6:  # tiny images, quarters
        height, width = 1 + height % 4, 1 + width % 4
        quarters = lambda side: lambda r: r.below(4 * side + 9) / 4.0 - 1.0
        parts = [points(random, 3 + random.below(6), quarters(width), quarters(height))]
    elif kind == 7:  # far away
        far = lambda r: (r.uniform() - 0.5) * 60000.0
        parts = [points(random, 3 + random.below(3), far, far)]
    elif kind == 8:  # an annotator's outline: a large image, many close points, hundredths
        height, width = 100 + random.below(381), 100 + random.below(541)
        x, y = random.below(100 * width), random.below(100 * height)
        part = []
        for _ in range(20 + random.below(60)):
            part += [x / 100.0, y / 100.0]
            x = min(max(x + random.below(6001) - 3000, 0), 100 * width)
            y = min(max(y + random.below(6001) - 3000, 0), 100 * height)
        parts = [part]
    else:  # on and just off the border
        def border(side):
            choices = [0.0, -0.5, 0.5, side - 0.5, side, side + 0.5, side / 2.0, -side, side * 2.0]
            return lambda r: float(choices[r.below(len(choices))])
        parts = [points(random, 3 + random.below(5), border(width), border(height))]
    return height, width, parts


def random_pixels(index):
    """(height, width, first, second): two masks of one size as lists of rows of 0 and 1."""
    random = Random(1_000_000 + index)
    height, width = 1 + random.below(40), 1 + random.below(40)

    def pixels():
        foreground = random.below(9) / 8.0
        # A pixel may repeat the one before it, which makes longer runs.
        repeat = random.below(4) / 4.0
        values, last = [], 0
        for _ in range(height * width):
            if random.uniform() >= repeat:
                last = int(random.uniform() < foreground)
            values.append(last)
        return [values[r * width : (r + 1) * width] for r in range(height)]

    return height, width, pixels(), pixels()

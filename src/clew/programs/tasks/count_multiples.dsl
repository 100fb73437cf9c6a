task count_multiples (n: int, xs: list) -> int
about     How many elements n divides.
requires  n != 0
ensures   result <= length xs
example   2, [7] -> 0
example   2, [11, 28, 24, -9, 27, 30, 2] -> 4
example   5, [24, 23, 7, 13, 24, 6, -5] -> 1
example   2, [26, -8, -9, 13, 18, -2, 8] -> 5
example   4, [-7, 13, 4, 23, 21, -12, 1, 18, -12] -> 3
reference count (\x -> x % n == 0) xs

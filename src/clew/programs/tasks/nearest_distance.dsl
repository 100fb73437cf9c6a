task nearest_distance (n: int, xs: list) -> int
about     How far n is from the element nearest to it.
requires  not (is_empty xs)
ensures   0 <= result
example   1, [15] -> 14
example   4, [-8, 9, 9, -3] -> 5
example   -1, [3, -17, 20, 17, 13, 12] -> 4
example   2, [1, -19, -4, -11] -> 1
example   3, [-6, 12, -12, -18, 16, -7, 17, -18, 11] -> 8
reference minimum (map (\x -> abs (x - n)) xs)

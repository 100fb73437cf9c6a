task alternating_sum (xs: list) -> int
about     The first element less the second, with the third, less the fourth, and so on.
example   [8] -> 8
example   [-8, 4, 1, 0] -> -11
example   [-6, 2, 3, 3, 7, -4, 8] -> 11
example   [-9, 8, 5, 0, -4, 9] -> -25
example   [-4, 2, -4, 1, -7, 4, -4, -3] -> -23
reference sum (zip (\x y -> if (even y) x (neg x)) xs (range (length xs)))

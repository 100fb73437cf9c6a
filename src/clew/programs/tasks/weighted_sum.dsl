task weighted_sum (xs: list) -> int
about     The sum of each element times its position, counted from 0.
example   [-2, 2] -> 2
example   [8, -1, 4, 5, -6] -> -2
example   [4, 5, -5, -4, -4] -> -33
example   [-7, -2, 7, 0, -3, 3, 1] -> 21
example   [3, -2, 4, 9, -9, -3, 1, 8] -> 44
reference sum (zip (\x y -> x * y) xs (range (length xs)))

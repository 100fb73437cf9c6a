task sum_of_squares (xs: list) -> int
about     The sum of the squares of the elements.
ensures   0 <= result
example   [-1] -> 1
example   [-8, 1, 9, -2, -3, 8] -> 223
example   [-4, 9, 7, -5, 5] -> 196
example   [-3, -8, 3, 4] -> 98
example   [-4, 4, 9, 8, 1, 4, 7, 7, 3] -> 301
reference sum (map (\x -> x * x) xs)

task deviations (xs: list) -> list
about     How much larger each element is than the mean, which is rounded down.
requires  not (is_empty xs)
ensures   length result == length xs
example   [-6, -5] -> [0, 1]
example   [1, 8, 2, 5] -> [-3, 4, -2, 1]
example   [5, -1, -4, 2, -4, 8] -> [4, -2, -5, 1, -5, 7]
example   [7, -7, 9, 9, -7, 7] -> [4, -10, 6, 6, -10, 4]
example   [0, -8, 1, -8, 0, 4, -5, 5, -5] -> [2, -6, 3, -6, 2, 6, -3, 7, -3]
reference map (\x -> x - sum xs / length xs) xs

task squares (xs: list) -> list
about     The square of every element.
ensures   all (\x -> 0 <= x) result
example   [-1, -5] -> [1, 25]
example   [-4, 5, -5, -9, 1] -> [16, 25, 25, 81, 1]
example   [7, 5, 2, 6] -> [49, 25, 4, 36]
example   [5, -6, 7, 0, -3] -> [25, 36, 49, 0, 9]
example   [-9, -1, 1, 6, 6, -3, 7, -7, -3] -> [81, 1, 1, 36, 36, 9, 49, 49, 9]
reference map (\x -> x * x) xs

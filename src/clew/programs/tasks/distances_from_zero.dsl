task distances_from_zero (xs: list) -> list
about     The absolute value of every element.
ensures   all (\x -> 0 <= x) result
example   [-8, -4] -> [8, 4]
example   [-9, 1, -2, 2, 4, 0] -> [9, 1, 2, 2, 4, 0]
example   [-7, -7, -7, 3, 4, 4, 5] -> [7, 7, 7, 3, 4, 4, 5]
example   [8, 6, -4, 6, 5] -> [8, 6, 4, 6, 5]
example   [5, -6, 0, 6, 2, 9, 4, 8, -4] -> [5, 6, 0, 6, 2, 9, 4, 8, 4]
reference map (\x -> abs x) xs

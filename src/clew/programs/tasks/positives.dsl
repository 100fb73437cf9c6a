task positives (xs: list) -> list
about     The elements above 0.
ensures   all (\x -> 0 < x) result
example   [-2] -> []
example   [7, 7, 4, -1, -2, 0, -7] -> [7, 7, 4]
example   [-7, -7, -7, -3, 5, 7, 1] -> [5, 7, 1]
example   [5, 9, 1, -9, 0, 7] -> [5, 9, 1, 7]
example   [7, 0, -6, 6, -4, 0, -9, 0, 2] -> [7, 6, 2]
reference filter (\x -> 0 < x) xs

task only_in_first (xs: list, ys: list) -> list
about     The elements of the first list that are not in the second.
ensures   length result <= length xs
example   [2, 3], [4, 5] -> [2, 3]
example   [2, 3, 7, 1], [3, 0, 2] -> [7, 1]
example   [5, 4, 1, 4], [1, 0, 2] -> [5, 4, 4]
example   [2, 1, 1, 2], [1, 0, 0, 0] -> [2, 2]
example   [7, 7, 5, 5, 0, 2, 5, 0], [4, 7, 1, 3, 3, 7, 6] -> [5, 5, 0, 2, 5, 0]
reference filter (\x -> not (contains x ys)) xs

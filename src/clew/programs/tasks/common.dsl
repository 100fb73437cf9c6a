task common (xs: list, ys: list) -> list
about     The elements of the first list that are in the second as well.
ensures   length result <= length xs
example   [7], [6] -> []
example   [4, 5, 3], [4, 5, 4, 7, 7, 7] -> [4, 5]
example   [1, 4, 5, 2, 4, 7], [3, 5, 2, 6, 1] -> [1, 5, 2]
example   [4, 2, 6], [5, 2, 5, 4, 2] -> [4, 2]
example   [2, 2, 2, 5, 2, 1, 2, 1], [0, 7, 3, 1, 1, 7, 2] -> [2, 2, 2, 2, 1, 2, 1]
reference filter (\x -> contains x ys) xs

import numpy as np

from unimask.tracking.places import Places


def test_many_objects_move_as_each_of_them_alone():
    random = np.random.default_rng(0)
    corners = random.uniform(0, 80, (6, 2))
    first = np.concatenate([corners, corners + random.uniform(4, 20, (6, 2))], axis=1)
    later = [first + random.normal(0, 3, first.shape) for _ in range(3)]
    sizes = random.uniform(4, 15, 6)

    def follow(rows):
        places = Places()
        places.append(first[rows], sizes[rows])
        distances = []
        for number, boxes in enumerate(later):
            places.predict(1 + number / 2)
            every = list(range(len(rows)))
            distances.append(places.squared_distances(every, boxes))
            places.update(every[::2], boxes[rows][::2], sizes[rows][::2])
        return places, np.stack(distances, axis=1)

    together, distances = follow(list(range(6)))
    for row in (0, 2, 4):
        alone, own = follow([row])
        assert np.allclose(own[0], distances[row])
        assert np.allclose(alone.motions.positions[0], together.motions.positions[row])
        assert np.allclose(alone.extents[0], together.extents[row])
    together.keep([4, 1])
    assert np.allclose(together.motions.positions[0], follow([4])[0].motions.positions[0])
    assert together.sizes.shape == (2,) and together.is_near((200, 200)).tolist() == [True, True]
    assert Places().squared_distances([], later[0]).shape == (0, 6)

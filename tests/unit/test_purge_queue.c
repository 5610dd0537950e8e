#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "recover/purge/queue.h"
#include "tests/unit/tap.h"

enum {
	ADDS = 0,
	OTHER = 1,
	WAIT_MSEC = 50, /* for what is not to happen */
	WAIT_MAX_MSEC = 10000,
};

struct scene {
	struct queue queue;
	struct node *root;
	pthread_t thread;
	unsigned id; /* the waiting worker */
	_Atomic(struct node *) taken;
};

static void sleep_msec(unsigned msec)
{
	struct timespec time = { .tv_sec = msec / 1000, .tv_nsec = (long)(msec % 1000) * 1000000 };

	(void)nanosleep(&time, NULL);
}

static unsigned idle_workers(struct queue *queue)
{
	unsigned idle;

	pthread_mutex_lock(&queue->lock);
	idle = queue->idle;
	pthread_mutex_unlock(&queue->lock);
	return idle;
}

static void *take_one(void *data)
{
	struct scene *scene = data;
	struct task task;

	if (queue_take(&scene->queue, scene->id, &task))
		scene->taken = task.node;
	return NULL;
}

/* One worker, @waits, has found nothing to do; the root is somebody's. */
static bool scene_start(struct scene *scene, unsigned target, unsigned waits)
{
	*scene = (struct scene){ .id = waits };
	if (!CHECK_EQ(queue_init(&scene->queue, target, 64), 0))
		return false;
	scene->root = node_new(NULL, "");
	if (!CHECK(scene->root) ||
	    !CHECK_EQ(pthread_create(&scene->thread, NULL, take_one, scene), 0)) {
		free(scene->root);
		queue_done(&scene->queue);
		return false;
	}
	for (unsigned i = 0; i < WAIT_MAX_MSEC && idle_workers(&scene->queue) == 0; i++)
		sleep_msec(1);
	return true;
}

static void scene_end(struct scene *scene)
{
	queue_stop(&scene->queue); /* before, or the root would be taken */
	queue_put_back(&scene->queue, ADDS, scene->root);
	(void)pthread_join(scene->thread, NULL); /* it is ours to join */
	if (scene->taken)
		(void)queue_node_gone(&scene->queue, scene->taken); /* the root is not read */
	queue_done(&scene->queue);
}

static void add_children(struct scene *scene, unsigned worker, unsigned count, bool at_once)
{
	struct node_list children = TAILQ_HEAD_INITIALIZER(children);

	for (unsigned i = 0; i < count; i++) {
		const char name[] = { (char)('a' + i), '\0' };
		struct node *node = node_new(scene->root, name);

		if (CHECK(node))
			TAILQ_INSERT_TAIL(&children, node, link);
	}
	queue_add(&scene->queue, worker, scene->root, &children, count, at_once);
}

static const char *wait_taken(struct scene *scene, unsigned msec)
{
	for (unsigned i = 0; i < msec && !scene->taken; i++)
		sleep_msec(1);
	return scene->taken ? scene->taken->name : NULL;
}

/* Down a chain, others would be woken at each level to find nothing. */
static void test_lone_child_is_for_who_takes_it_at_once(void)
{
	struct scene scene;
	struct task task = { 0 };

	if (!scene_start(&scene, 2, OTHER))
		return;
	add_children(&scene, ADDS, 1, true);
	CHECK_STR(wait_taken(&scene, WAIT_MSEC), NULL);
	CHECK(queue_take(&scene.queue, ADDS, &task));
	if (CHECK(task.node)) {
		CHECK_STR(task.node->name, "a");
		(void)queue_node_gone(&scene.queue, task.node);
	}
	scene_end(&scene);
}

static void test_second_child_wakes_another_for_the_oldest(void)
{
	struct scene scene;

	if (!scene_start(&scene, 2, OTHER))
		return;
	add_children(&scene, ADDS, 2, true);
	CHECK_STR(wait_taken(&scene, WAIT_MAX_MSEC), "a");
	scene_end(&scene);
}

static void test_lone_child_of_who_is_busy_wakes_another(void)
{
	struct scene scene;

	if (!scene_start(&scene, 2, OTHER))
		return;
	add_children(&scene, ADDS, 1, false);
	CHECK_STR(wait_taken(&scene, WAIT_MAX_MSEC), "a");
	scene_end(&scene);
}

/* The tuner took its turn away meanwhile: it parks, and takes nothing any more. */
static void test_lone_child_of_who_parks_is_for_another(void)
{
	struct scene scene;

	if (!scene_start(&scene, 1, ADDS))
		return;
	add_children(&scene, OTHER, 1, true);
	CHECK_STR(wait_taken(&scene, WAIT_MAX_MSEC), "a");
	scene_end(&scene);
}

int main(void)
{
	RUN(test_lone_child_is_for_who_takes_it_at_once);
	RUN(test_second_child_wakes_another_for_the_oldest);
	RUN(test_lone_child_of_who_is_busy_wakes_another);
	RUN(test_lone_child_of_who_parks_is_for_another);
	return tap_done();
}

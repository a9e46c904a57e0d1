"""Pools of connections: how their queries are planned."""

from refsys.infra.postgres import create_pool

MODE = "SELECT current_setting('plan_cache_mode')"


async def test_searches_are_planned_for_their_values_whatever_was_done_with_the_connection_before(dsn):
    pool = await create_pool(dsn, max_size=1, plans_anew=True)
    try:
        assert await pool.fetchval(MODE) == "force_custom_plan"
        connection = await pool.acquire()
        await connection.execute("BEGIN")
        # left in a transaction, it is reset
        await pool.release(connection)
        assert await pool.fetchval(MODE) == "force_custom_plan"
    finally:
        await pool.close()


async def test_steps_keep_their_plans(pool):
    assert await pool.fetchval(MODE) == "auto"
